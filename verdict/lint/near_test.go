package lint

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestRelatedNames(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"platform-agent", "platform-agent-gateway", true},
		{"argo-workflows-server", "server", true},
		{"gateway", "gatewy", true},
		{"gateway_v2", "gateway-v2", true},
		{"frontend", "backend", false},
		{"db", "mysql-db", false}, // too short to tell anything
		{"agent", "agents-of-others", false},
		{"", "web", false},
	} {
		if got := related(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: related %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestTheNearestPodsAreNamed(t *testing.T) {
	pods := func(name string, labels map[string]string) *class {
		return &class{Pod: verdict.Pod{Namespace: "ai", Name: name, Labels: labels}}
	}
	here := []*class{
		pods("web", map[string]string{"app": "web"}),
		pods("agent", map[string]string{"app.kubernetes.io/name": "agent-gateway", "tier": "back"}),
	}
	for _, tt := range []struct {
		selector metav1.LabelSelector
		want     string
	}{
		{metav1.LabelSelector{MatchLabels: map[string]string{"app": "agent"}}, "Did you mean app.kubernetes.io/name: agent-gateway, which the pods of ai/agent have?"},
		{metav1.LabelSelector{MatchLabels: map[string]string{"app": "mysql", "tier": "back"}}, "The nearest pods are those of ai/agent, which have no label app."},
		{metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"site", "web-site"}}}}, "Did you mean app: web, which the pods of ai/web have?"},
		{metav1.LabelSelector{MatchLabels: map[string]string{"app": "mysql"}}, ""},
		{metav1.LabelSelector{}, ""},
	} {
		if got := nearestPods(&tt.selector, here).String(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.selector, got, tt.want)
		}
	}
}

func TestTheOwnerOfAPolicyIsNamed(t *testing.T) {
	const owned = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  namespace: ai
  name: gateway
  ownerReferences: [{apiVersion: example.org/v1, kind: Gateway, name: edge, uid: u, controller: true}]
spec:
  podSelector: {matchLabels: {app: gateway}}
  policyTypes: [Egress]
  egress:
  - to:
    - podSelector: {matchLabels: {app: model}}
`
	f := the(t, "dns-forgotten", check(t, owned, gatewayAndModel))
	if want := "Gateway edge owns the policy and may write it back"; !strings.Contains(f.Fix, want) {
		t.Errorf("fix %q does not say %q", f.Fix, want)
	}
}
