package rollout

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxTerms bounds the work of planning before it is known whether the terms
// that are left at the end fit into maxBridges.
const maxTerms = 512

// factor is the selector of one isolating policy, as requirements sorted by key.
type factor []metav1.LabelSelectorRequirement

// negations are the coarsest terms outside the selector: one requirement fails.
func (f factor) negations() []term {
	var all []term
	for _, r := range f {
		all = append(all, term{r.Key: domainOf(negation(r))})
	}
	return all
}

// disjointNegations are terms outside the selector that do not overlap: the
// first requirement fails, or it holds and the second fails, and so on. Where
// many selectors list values of the same keys (name and instance of a chart,
// say), nearly all their products contradict themselves, and the number of terms
// grows with the policies, not with two to their power.
func (f factor) disjointNegations() []term {
	var all []term
	holds := term{}
	for _, r := range f {
		all = append(all, holds.and(r.Key, domainOf(negation(r))))
		holds = holds.and(r.Key, domainOf(r))
	}
	return all
}

// complement is the union of terms outside all factors: their product, each
// written by negate, simplified after each factor and sorted at the end. It
// gives up, with false, where more than maxBridges terms are left or finding out
// is too much work. Short selectors go first because they prune the most.
func complement(factors []factor, negate func(factor) []term) ([]term, bool) {
	factors = slices.Clone(factors)
	slices.SortStableFunc(factors, func(a, b factor) int { return cmp.Compare(len(a), len(b)) })
	terms := []term{{}}
	for _, f := range factors {
		choices := negate(f)
		if len(terms)*len(choices) > maxTerms {
			return nil, false
		}
		var product []term
		for _, t := range terms {
			for _, u := range choices {
				product = append(product, t.meet(u))
			}
		}
		terms = simplified(product)
	}
	if len(terms) > maxBridges {
		return nil, false
	}
	slices.SortFunc(terms, func(a, b term) int {
		x, y := a.selector(), b.selector()
		return strings.Compare(metav1.FormatLabelSelector(&x), metav1.FormatLabelSelector(&y))
	})
	return terms, true
}

// simplified drops terms that accept no pod, and terms within another one.
func simplified(terms []term) []term {
	var kept []term
	for _, t := range terms {
		if t.empty() || slices.ContainsFunc(kept, t.within) {
			continue
		}
		kept = slices.DeleteFunc(kept, func(u term) bool { return u.within(t) })
		kept = append(kept, t)
	}
	return kept
}

// negation turns one requirement around: In and NotIn, Exists and DoesNotExist.
func negation(r metav1.LabelSelectorRequirement) metav1.LabelSelectorRequirement {
	r.Operator = map[metav1.LabelSelectorOperator]metav1.LabelSelectorOperator{
		metav1.LabelSelectorOpIn:           metav1.LabelSelectorOpNotIn,
		metav1.LabelSelectorOpNotIn:        metav1.LabelSelectorOpIn,
		metav1.LabelSelectorOpExists:       metav1.LabelSelectorOpDoesNotExist,
		metav1.LabelSelectorOpDoesNotExist: metav1.LabelSelectorOpExists,
	}[r.Operator]
	return r
}
