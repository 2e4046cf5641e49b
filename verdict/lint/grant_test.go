package lint

import (
	"strings"
	"testing"
)

// hooks are two webhooks, of which one has a label of its own.
const hooks = `apiVersion: v1
kind: Pod
metadata: {namespace: ops, name: a, labels: {app: hook, part: a}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 9443}]}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: ops, name: b, labels: {app: hook}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 9443}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: ops, name: a-webhook}
spec: {selector: {part: a}, ports: [{port: 443, targetPort: 9443}]}
`

func policyFor(selector string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ops, name: all}\nspec:\n  podSelector: " + selector + "\n  ingress: []\n"
}

// What some pods lack goes into a policy of theirs alone.
func TestARuleForSomePodsOpensNoOthers(t *testing.T) {
	for _, tt := range []struct {
		name, policy, pods string
		added              bool
		want               []string
	}{
		{"into a policy that selects them alone", policyFor("{matchLabels: {part: a}}"), hooks, false, []string{"name: all", "part: a"}},
		{"beside a policy for every pod", policyFor("{}"), hooks, true, []string{"name: a-9443-ingress", "matchLabels:\n      app: hook\n      part: a\n"}},
		{"beside a policy for others too", policyFor("{matchLabels: {app: hook}}"), hooks, true, []string{"app: hook\n      part: a\n"}},
		{"nowhere without a label that stays", policyFor("{}"),
			strings.NewReplacer("{app: hook, part: a}", "{pod-template-hash: x}", "{part: a}", "{pod-template-hash: x}").Replace(hooks), true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := the(t, "webhook-forgotten", check(t, tt.policy, tt.pods))
			if tt.want == nil {
				if f.Corrected != "" || !strings.Contains(f.Fix, "once it has labels") {
					t.Errorf("got %s\n%s", f, f.Corrected)
				}
				return
			}
			if f.New != tt.added {
				t.Errorf("a policy to add: %v\n%s", f.New, f.Corrected)
			}
			for _, want := range tt.want {
				if !strings.Contains(f.Corrected, want) {
					t.Errorf("lacks %q:\n%s", want, f.Corrected)
				}
			}
		})
	}
}

// A denial by default is told with what it would cut, and never written.
func TestADefaultDenyIsNoCorrection(t *testing.T) {
	const pods = `apiVersion: v1
kind: Pod
metadata: {namespace: rag, name: api, labels: {app: api}}
spec: {containers: [{name: c, image: x, env: [{name: STORE_URL, value: "http://store"}]}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: rag, name: store, labels: {app: store}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 6333}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: rag, name: store}
spec: {selector: {app: store}, ports: [{port: 80, targetPort: 6333}]}
`
	const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: rag, name: default-deny}
spec: {podSelector: {matchLabels: {app: store}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
`
	f := the(t, "no-default-deny", check(t, policy, pods))
	if f.Corrected != "" {
		t.Errorf("offered:\n%s", f.Corrected)
	}
	for _, want := range []string{"the name lookups of rag/api, rag/store", "rag/api to rag/store on 6333/TCP"} {
		if !strings.Contains(f.Fix, want) {
			t.Errorf("%q is not said: %s", want, f.Fix)
		}
	}
	silent := strings.Replace(pods, "STORE_URL", "STORE_NAME", 1)
	if f := the(t, "no-default-deny", check(t, policy, strings.Replace(silent, "http://store", "store", 1))); strings.Contains(f.Fix, "6333") {
		t.Errorf("a connection that nobody is known to make: %s", f.Fix)
	}
	deny := strings.ReplaceAll(policy, "ingress: [{from: [{podSelector: {}}]}]", "ingress: [{}]")
	f = the(t, "deny-that-allows", check(t, deny, pods))
	if f.Corrected != "" || !strings.Contains(f.Fix, "would cut rag/api to rag/store on 6333/TCP") {
		t.Errorf("got %s\n%s", f, f.Corrected)
	}
}

// Two mistakes that lack the same rule get it once.
func TestARuleIsAddedOnce(t *testing.T) {
	tree := object("list", list())
	rule := ruleNode("from", nil, port{80, tcp})
	edits(add(at("list"), rule), add(at("list"), rule), add(at("list"), ruleNode("from", nil, port{81, tcp})))(tree)
	if n := len(lookup(tree, at("list")).Content); n != 2 {
		t.Errorf("%d items", n)
	}
}

// A label that is corrected makes its policy isolate pods. Where these could look up
// nothing then, a person has to allow that first.
func TestACorrectedLabelCutsNoLookups(t *testing.T) {
	const pod = `apiVersion: v1
kind: Pod
metadata: {namespace: ai, name: gateway, labels: {app: gateway}}
spec: {containers: [{name: c, image: x}]}
`
	policy := func(egress string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ai, name: gateway}\nspec:\n  podSelector: {matchLabels: {app: gatway}}\n  policyTypes: [Egress]\n  egress: " + egress + "\n"
	}
	if f := the(t, "selects-nothing", check(t, policy("[{ports: [{port: 443}]}]"), pod)); f.Corrected != "" || !strings.Contains(f.Fix, "would cut the name lookups of ai/gateway") {
		t.Errorf("got %s\n%s", f, f.Corrected)
	}
	if f := the(t, "selects-nothing", check(t, policy("[{ports: [{port: 53, protocol: UDP}]}]"), pod)); f.Corrected == "" {
		t.Errorf("nothing is corrected: %s", f)
	}
}
