package lint

import (
	"strings"
	"testing"
)

// Two workloads with the same labels: a rule for one is a rule for both.
const sharedLabel = `apiVersion: apps/v1
kind: Deployment
metadata: {namespace: a, name: web}
spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {namespace: a, name: job}
spec: {schedule: "0 3 * * *", jobTemplate: {spec: {template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x, env: [{name: DB_HOST, value: db}]}]}}}}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: a, name: db, labels: {app: db}}
spec: {containers: [{name: c, image: x, ports: [{containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: a, name: db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: a, name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]
`

func TestARuleForALabelOfTwoWorkloadsNamesBoth(t *testing.T) {
	for _, f := range check(t, sharedLabel, "") {
		if f.Rule != "configured-target-cut" {
			continue
		}
		if want := "no label tells a/job from a/web: the rule is for those pods too"; !strings.Contains(f.Fix, want) {
			t.Errorf("the fix is %q, want it to say %q", f.Fix, want)
		}
		return
	}
	t.Error("no configured-target-cut")
}

// A pod on its node's network is matched by no selector, so no rule with one is offered.
func TestNoSelectorIsOfferedForAPodOnItsNodesNetwork(t *testing.T) {
	for _, s := range stories(t) {
		if s.mistake != "metrics-forgotten" || s.name != "the server is on the network of another node" {
			continue
		}
		for _, f := range check(t, s.text, s.base) {
			if f.Rule == s.mistake && (f.Corrected != "" || !strings.Contains(f.Fix, "ipBlock")) {
				t.Errorf("the fix is %q with %q", f.Fix, f.Corrected)
			}
		}
		return
	}
	t.Fatal("no such story")
}
