package lint

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestLabelsThatPodsGetLater(t *testing.T) {
	v := &view{classes: []*class{{Pod: verdict.Pod{Labels: map[string]string{"app": "web", "example.org/team": "a"}}}}}
	with := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	exists := func(key string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpExists}}}
	}
	for _, tt := range []struct {
		name     string
		selector *metav1.LabelSelector
		want     bool
	}{
		{"a label of a mesh", with("service.istio.io/canonical-name", "web"), true},
		{"with any value", exists("acme.cert-manager.io/http01-solver"), true},
		{"a label that a program gives", with("component", "singleuser-server"), true},
		{"the same key with another value", with("component", "server"), false},
		{"a label that people write", with("tier", "web"), false},
		{"a label of Kubernetes", with("app.kubernetes.io/name", "web"), false},
		{"a label with a domain that pods here have", with("example.org/team", "b"), false},
		{"any label without a domain", exists("tier"), false},
		{"every pod", &metav1.LabelSelector{}, false},
		{"no selector", nil, false},
	} {
		if got := v.labelledLater(tt.selector); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
