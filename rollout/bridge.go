package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// maxBridges is how many bridges one namespace and direction may need. Each is
// a write that a rollback waits for, so a plan past it is refused, not slowed.
const maxBridges = 64

// Bridge is an allow-all policy that keeps pods at their baseline while the
// candidates are installed. Selector is without the run's own requirements; see
// BridgeSelector.
type Bridge struct {
	Namespace string
	Direction networkingv1.PolicyType
	Selector  metav1.LabelSelector // empty: every pod of the namespace
}

// Bridges plans the bridges of a candidate set: per namespace and direction that
// a candidate isolates, the complement of the selectors by which the baseline
// isolates there. So together they select exactly the pods that the baseline
// leaves open, those of tomorrow included, and allowing everything changes
// nothing for any of them. None is needed where the baseline isolates every pod:
// there a candidate can only widen. A policy that is replaced or removed is of
// the baseline, and its own bridge: it stays for as long as pods need it.
//
// The complement negates one requirement per isolating policy, and each choice
// that is left after simplification is one bridge. Candidates that are in the
// baseline already with an equal spec are skipped. It is an error if a podSelector
// is invalid or names a label that the run itself sets, if a namespace would need
// more than 64 bridges in one direction, or if ProveBridges does not prove them.
// The result is sorted, and empty if nothing is to be bridged.
func Bridges(baseline, candidates []verdict.Policy) ([]Bridge, error) {
	scopes, err := isolated(Change{World: verdict.World{Policies: baseline}, Candidates: candidates}.news())
	if err != nil {
		return nil, err
	}
	var all []Bridge
	for _, s := range scopes {
		terms, err := s.openTerms(baseline)
		if err != nil {
			return nil, err
		}
		for _, t := range terms {
			all = append(all, Bridge{Namespace: s.namespace, Direction: s.direction, Selector: t.selector()})
		}
	}
	if err := ProveBridges(baseline, candidates, all); err != nil {
		return nil, fmt.Errorf("the bridges that were planned do not hold, so nothing may rest on them: %w", err)
	}
	return all, nil
}

// scope is a namespace and direction.
type scope struct {
	namespace string
	direction networkingv1.PolicyType
}

// isolated lists where the policies isolate any pod, sorted.
func isolated(policies []verdict.Policy) ([]scope, error) {
	var all []scope
	for _, p := range policies {
		reqs, err := ownedBy(p)
		if err != nil {
			return nil, err
		}
		for _, d := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
			s := scope{p.Namespace, d}
			if p.Affects(d) && !termOf(reqs).empty() && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, b scope) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(string(a.direction), string(b.direction)))
	})
	return all, nil
}

// ownedBy reads the selector of a policy that is not ours. One that names our
// labels would select other pods in each state, and no plan could hold.
func ownedBy(p verdict.Policy) ([]metav1.LabelSelectorRequirement, error) {
	reqs, err := requirementsOf(p.Spec.PodSelector)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Key(), err)
	}
	for _, r := range reqs {
		if strings.HasPrefix(r.Key, labelPrefix) {
			return nil, fmt.Errorf("policy %s: podSelector names %s, a label that a rollout sets and clears itself: select pods by their own labels", p.Key(), r.Key)
		}
	}
	return reqs, nil
}

// openTerms are the terms whose union is every pod that the policies leave open.
func (s scope) openTerms(policies []verdict.Policy) ([]term, error) {
	var factors []factor
	for _, p := range policies {
		if p.Namespace != s.namespace || !p.Affects(s.direction) {
			continue
		}
		reqs, err := ownedBy(p)
		if err != nil {
			return nil, err
		}
		if !termOf(reqs).empty() { // else it selects nothing, and isolates nothing
			factors = append(factors, reqs)
		}
	}
	if terms, ok := complement(factors, factor.negations); ok {
		return terms, nil
	}
	if terms, ok := complement(factors, factor.disjointNegations); ok {
		return terms, nil
	}
	return nil, s.tooMany(len(factors))
}

func (s scope) tooMany(policies int) error {
	return fmt.Errorf("namespace %s, %s: the pods that its %d isolating policies leave open need more than %d bridges to describe: "+
		"give those policies selectors of one label, or isolate the whole namespace with a podSelector {} first",
		s.namespace, s.direction, policies, maxBridges)
}
