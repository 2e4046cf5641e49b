package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// selector may be empty, select by labels, by expressions, or by both.
func (d *Dice) selector() metav1.LabelSelector {
	var s metav1.LabelSelector
	switch d.IntN(5) {
	case 1, 2:
		s.MatchLabels = map[string]string{pick(d, keys...): pick(d, values...)}
	case 3:
		s.MatchExpressions = append(s.MatchExpressions, d.requirement())
	case 4:
		s.MatchLabels = map[string]string{pick(d, keys...): pick(d, values...)}
		s.MatchExpressions = some(d, 2, d.requirement)
	}
	if d.style.big && d.one(2) {
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: fmt.Sprint("k", d.IntN(80)), Operator: pick(d, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)})
	}
	if d.style.invalid && d.one(8) {
		s = d.invalidSelector()
	}
	return s
}

// namespaceSelector also knows the label that the API server sets.
func (d *Dice) namespaceSelector() metav1.LabelSelector {
	if d.one(4) {
		return metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: pick(d, namespaces...)}}
	}
	return d.selector()
}

func (d *Dice) requirement() metav1.LabelSelectorRequirement {
	r := metav1.LabelSelectorRequirement{Key: pick(d, keys...), Operator: pick(d,
		metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
	if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
		r.Values = append(some(d, 2, func() string { return pick(d, values...) }), pick(d, values...))
	}
	return r
}

func (d *Dice) invalidSelector() metav1.LabelSelector {
	return pick(d,
		metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Near"}}},
		metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn}}},
		metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpExists, Values: []string{"x"}}}},
		metav1.LabelSelector{MatchLabels: map[string]string{"a b": "x"}},
		metav1.LabelSelector{MatchLabels: map[string]string{"app": "x y"}},
	)
}
