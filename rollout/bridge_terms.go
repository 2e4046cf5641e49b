package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// domain is what a selector demands of one label key: whether the key may be
// missing, and which values it may have. An In demands {listed}, a NotIn {all
// but listed, or missing}. The zero domain accepts nothing.
type domain struct {
	absent bool            // a missing key is accepted
	allBut bool            // values lists what is refused, rather than what is accepted
	values map[string]bool // never modified
}

var anyLabel = domain{absent: true, allBut: true}

func domainOf(r metav1.LabelSelectorRequirement) domain {
	values := map[string]bool{}
	for _, v := range r.Values {
		values[v] = true
	}
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return domain{values: values}
	case metav1.LabelSelectorOpNotIn:
		return domain{absent: true, allBut: true, values: values}
	case metav1.LabelSelectorOpExists:
		return domain{allBut: true}
	}
	return domain{absent: true} // DoesNotExist
}

func (d domain) and(e domain) domain {
	if d.allBut && !e.allBut {
		d, e = e, d
	}
	both := domain{absent: d.absent && e.absent, allBut: d.allBut && e.allBut, values: map[string]bool{}}
	for v := range d.values {
		if both.allBut || e.accepts(v) {
			both.values[v] = true
		}
	}
	if both.allBut {
		maps.Copy(both.values, e.values)
	}
	return both
}

func (d domain) accepts(value string) bool { return d.values[value] != d.allBut }

func (d domain) empty() bool { return !d.absent && !d.allBut && len(d.values) == 0 }

// within reports whether e accepts all that d accepts.
func (d domain) within(e domain) bool {
	if d.absent && !e.absent || d.allBut && !e.allBut {
		return false
	}
	if d.allBut {
		for v := range e.values { // what e refuses, d must refuse too
			if d.accepts(v) {
				return false
			}
		}
		return true
	}
	for v := range d.values {
		if !e.accepts(v) {
			return false
		}
	}
	return true
}

// requirements writes the domain of a key as selector requirements. A missing
// key together with listed values has no such form, and never comes up: only
// NotIn and DoesNotExist accept a missing key, and neither lists accepted values.
func (d domain) requirements(key string) []metav1.LabelSelectorRequirement {
	req := func(op metav1.LabelSelectorOperator) metav1.LabelSelectorRequirement {
		r := metav1.LabelSelectorRequirement{Key: key, Operator: op}
		if op == metav1.LabelSelectorOpIn || op == metav1.LabelSelectorOpNotIn {
			r.Values = slices.Sorted(maps.Keys(d.values))
		}
		return r
	}
	var all []metav1.LabelSelectorRequirement
	switch {
	case d.absent && !d.allBut:
		return append(all, req(metav1.LabelSelectorOpDoesNotExist))
	case !d.allBut:
		return append(all, req(metav1.LabelSelectorOpIn))
	case !d.absent:
		all = append(all, req(metav1.LabelSelectorOpExists))
	}
	if len(d.values) > 0 {
		all = append(all, req(metav1.LabelSelectorOpNotIn))
	}
	return all
}

// term is a conjunction: a domain per key. The empty term accepts every pod.
type term map[string]domain

func termOf(all []metav1.LabelSelectorRequirement) term {
	t := term{}
	for _, r := range all {
		t = t.and(r.Key, domainOf(r))
	}
	return t
}

func (t term) and(key string, d domain) term {
	return t.meet(term{key: d})
}

func (t term) meet(u term) term {
	n := maps.Clone(t)
	for key, d := range u {
		n[key] = t.at(key).and(d)
	}
	return n
}

func (t term) at(key string) domain {
	if d, ok := t[key]; ok {
		return d
	}
	return anyLabel
}

func (t term) empty() bool {
	for _, d := range t {
		if d.empty() {
			return true
		}
	}
	return false
}

// within reports whether u accepts every pod that t accepts.
func (t term) within(u term) bool {
	for key, d := range u {
		if !t.at(key).within(d) {
			return false
		}
	}
	return true
}

func (t term) selector() metav1.LabelSelector {
	var sel metav1.LabelSelector
	for _, key := range slices.Sorted(maps.Keys(t)) {
		sel.MatchExpressions = append(sel.MatchExpressions, t[key].requirements(key)...)
	}
	return sel
}

// requirementsOf is the selector as one list, matchLabels written as In, sorted
// by key. It fails where the API server would refuse the selector.
func requirementsOf(sel metav1.LabelSelector) ([]metav1.LabelSelectorRequirement, error) {
	if _, err := metav1.LabelSelectorAsSelector(&sel); err != nil {
		return nil, fmt.Errorf("podSelector is invalid: %w", err)
	}
	all := slices.Clone(sel.MatchExpressions)
	for key, value := range sel.MatchLabels {
		all = append(all, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	slices.SortStableFunc(all, func(a, b metav1.LabelSelectorRequirement) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}
