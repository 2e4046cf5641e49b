package explain

import (
	"strings"
	"testing"
)

// tiered has a policy of the cluster about what enters every pod, and a pod of which
// a NetworkPolicy is about that, too.
const tiered = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: a, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: a, labels: {app: cache}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: cluster}
spec: {tier: TIER, priority: 1, subject: {namespaces: {}}, ingress: [{name: r, action: ACTION, from: [{namespaces: {}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: a}
spec: {podSelector: {matchLabels: {app: db}}}
`

func TestTheTierThatDecidesIsTold(t *testing.T) {
	const overrides = "add a NetworkPolicy that selects"
	for _, tt := range []struct {
		tier, action, to, verdict, why, next string
		additions                            int
	}{
		{"Admin", "Pass", "a/db", "Deny", "The policy a/db is about what enters it.", "this is enough", 1},
		{"Admin", "Deny", "a/db", "Deny", "cluster decides, before any NetworkPolicy", "Only the policy cluster can change this", 0},
		{"Admin", "Accept", "a/db", "Allow", "cluster ingress[0] Accept allows it", "Nothing", 0},
		{"Admin", "Accept", "a/cache", "Allow", "cluster ingress[0] Accept allows it", "Nothing", 0},
		{"Admin", "Pass", "a/cache", "Allow", "No policy is about what enters a/cache", "Nothing", 0},
		{"Baseline", "Deny", "a/db", "Deny", "The policy a/db is about what enters it.", "this is enough", 1},
		{"Baseline", "Deny", "a/cache", "Deny", "cluster decides, because no NetworkPolicy does", overrides, 0},
	} {
		set := setOf(t, strings.NewReplacer("TIER", tt.tier, "ACTION", tt.action).Replace(tiered))
		a, _ := answer(t, set, Names{From: "a/web", To: tt.to, Port: "5432"})
		if a.Verdict != tt.verdict || !strings.Contains(a.In.Text, tt.why) || !strings.Contains(a.Next, tt.next) || len(a.Additions) != tt.additions {
			t.Errorf("tier %s, %s, to %s: got %s\n%s\n%s\n%v", tt.tier, tt.action, tt.to, a.Verdict, a.In.Text, a.Next, a.Additions)
		}
	}
}
