package rollout

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestASampleIsMatchedByItsBridge(t *testing.T) {
	for name, selector := range map[string]metav1.LabelSelector{
		"everyone":         {},
		"a label":          {MatchLabels: map[string]string{"app": "a"}},
		"one of two":       need("app", metav1.LabelSelectorOpIn, "b", "a"),
		"any value":        need("app", metav1.LabelSelectorOpExists),
		"no such key":      need("app", metav1.LabelSelectorOpDoesNotExist),
		"another value":    need("app", metav1.LabelSelectorOpNotIn, "x0"),
		"there, but not x": {MatchExpressions: append(need("app", metav1.LabelSelectorOpExists).MatchExpressions, need("app", metav1.LabelSelectorOpNotIn, "x0", "x1").MatchExpressions...)},
		"two keys":         {MatchLabels: map[string]string{"app": "a", "tier": "b"}},
	} {
		sample, err := Bridge{Selector: selector}.Sample()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sel, err := metav1.LabelSelectorAsSelector(&selector)
		if err != nil {
			t.Fatal(err)
		}
		if !sel.Matches(labels.Set(sample)) {
			t.Errorf("%s: selector %v does not match its sample %v", name, sel, sample)
		}
		if len(sample) > len(selector.MatchLabels)+len(selector.MatchExpressions) {
			t.Errorf("%s: sample %v has more labels than the selector names", name, sample)
		}
	}
}

func need(key string, op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}
