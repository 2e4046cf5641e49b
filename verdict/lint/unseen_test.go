package lint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const onePod = `apiVersion: v1
kind: Pod
metadata: {namespace: ai, name: model, labels: {app: model}}
spec: {containers: [{name: c, image: x}]}
`

// Manifests need not hold all pods. A cluster has them all: a policy that selects
// none there does nothing.
func TestWhatSelectsNothingIsAWarningInAClusterOnly(t *testing.T) {
	set := read(t, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ai, name: frontend}
spec:
  podSelector: {matchLabels: {tier: frontend}}
  ingress: [{from: [{podSelector: {matchLabels: {tier: edge}}}]}]
`, onePod)
	for _, rule := range []string{"selects-nothing", "peer-selects-nothing"} {
		if f := the(t, rule, Check(set)); f.Severity != Info {
			t.Errorf("of manifests: %s", f)
		}
	}
	set.Objects.NetworkPolicies[0].Source = manifest.Source{Kind: "NetworkPolicy", Namespace: "ai", Name: "frontend"}
	for _, rule := range []string{"selects-nothing", "peer-selects-nothing"} {
		if f := the(t, rule, Check(set)); f.Severity != Warning {
			t.Errorf("of a cluster: %s", f)
		}
	}
}

// However many selectors select nothing, the remark stays short.
func TestTheRemarkOnAbsentPodsIsBounded(t *testing.T) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ai, name: p-%d}\nspec: {podSelector: {matchLabels: {part: x%dx}}}\n", i, i)
	}
	f := the(t, "selects-nothing", Check(read(t, text.String(), onePod)))
	if len(f.What) > 400 || !strings.Contains(f.What, "and 492 more") || !strings.Contains(f.What, "and 497 more") {
		t.Errorf("%d bytes: %s", len(f.What), f.What)
	}
}
