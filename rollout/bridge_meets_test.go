package rollout

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestABridgeMeetsASelectorUnlessALabelContradicts(t *testing.T) {
	req := func(key string, op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: values}
	}
	sel := func(all ...metav1.LabelSelectorRequirement) metav1.LabelSelector {
		return metav1.LabelSelector{MatchExpressions: all}
	}
	web := metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	for _, tt := range []struct {
		name   string
		bridge metav1.LabelSelector
		other  metav1.LabelSelector
		want   bool
	}{
		{"everything meets everything", metav1.LabelSelector{}, metav1.LabelSelector{}, true},
		{"everything meets a label", metav1.LabelSelector{}, web, true},
		{"different labels may be on one pod", web, metav1.LabelSelector{MatchLabels: map[string]string{"tier": "db"}}, true},
		{"a label has one value", web, metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, false},
		{"the complement of a label", sel(req("app", metav1.LabelSelectorOpNotIn, "web")), web, false},
		{"the complement of another value", sel(req("app", metav1.LabelSelectorOpNotIn, "db")), web, true},
		{"a missing key and a present one", sel(req("app", metav1.LabelSelectorOpDoesNotExist)), sel(req("app", metav1.LabelSelectorOpExists)), false},
		{"an invalid selector may select anything", web, sel(req("app", "Like", "db")), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Bridge{Selector: tt.bridge}).Meets(tt.other); got != tt.want {
				t.Errorf("Meets = %v, want %v", got, tt.want)
			}
		})
	}
}
