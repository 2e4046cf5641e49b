package lint

import (
	"slices"
	"testing"
)

const webAndDatabase = `apiVersion: v1
kind: Pod
metadata: {namespace: a, name: cache, labels: {app: cache}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: web, labels: {app: web}}
spec: {containers: [{name: c, image: x, env: [{name: DB_HOST, value: db}]}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: db, labels: {app: db}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: a, name: db}
spec: {selector: {app: db}, ports: [{port: 432, targetPort: 5432}]}
---
`

// A misspelt peer and a Service's port are corrected where they stand; a second rule
// beside the first is only added where one is missing still.
func TestNoRuleIsAddedForWhatAnotherCorrectionMends(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		want []string
	}{
		"a misspelt label":   {"{from: [{podSelector: {matchLabels: {app: webb}}}], ports: [{port: 5432}]}", []string{"peer-selects-nothing"}},
		"a Service's port":   {"{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 432}]}", []string{"service-port-for-target-port"}},
		"nothing to correct": {"{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}", []string{"configured-target-cut"}},
		"one is not enough":  {"{from: [{podSelector: {matchLabels: {app: cachee}}}], ports: [{port: 5432}]}", []string{"configured-target-cut", "peer-selects-nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := read(t, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: a, name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - `+c.rule+"\n", webAndDatabase)
			all := Correct(set, Warning)
			if len(all) != 1 || !slices.Equal(all[0].Rules, c.want) {
				t.Errorf("corrected %+v, want %v", all, c.want)
			}
		})
	}
}

// A policy that selects more pods gets no rule for one of them; the policy that is to
// be added for it is left out, too, where a corrected peer already mends it.
func TestNoPolicyIsAddedForWhatACorrectionMends(t *testing.T) {
	for peer, want := range map[string]int{"webb": 0, "cache": 1} {
		set := read(t, `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: a, name: all}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {matchLabels: {app: `+peer+`}}}], ports: [{port: 5432}]}]
`, webAndDatabase)
		if got := Additions(set, Warning); len(got) != want {
			t.Errorf("a peer %s: %d policies to add, want %d: %v", peer, len(got), want, got)
		}
	}
}
