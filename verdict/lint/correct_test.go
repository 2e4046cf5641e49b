package lint

import (
	"slices"
	"testing"
)

// One policy with mistakes at several places, one of which takes an item out. The
// empty rule stays: without it the Service's clients are cut.
const manyMistakes = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ai, name: gateway}
spec:
  podSelector: {matchLabels: {app: gateway}}
  ingress:
  - {}
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}
    - podSelector: {matchLabels: {app: chat}}
    ports: [] # whatever
  - from: []
    ports:
    - port: 80 # of the Service
  egress:
  - to: [{podSelector: {matchLabels: {app: modle}}}] # misspelt
`

const manyPods = gatewayAndModel + `---
apiVersion: v1
kind: Pod
metadata: {namespace: apps, name: chat, labels: {app: chat}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: ai, name: gateway}
spec: {selector: {app: gateway}, ports: [{port: 80, targetPort: 4000}]}
`

func TestAllMistakesOfADocumentAreCorrectedAtOnce(t *testing.T) {
	set := read(t, manyMistakes, manyPods)
	all := Correct(set, Warning)
	if len(all) != 1 || all[0].Object.String() != "NetworkPolicy ai/gateway" || all[0].Position.Line != 1 {
		t.Fatalf("corrections: %+v", all)
	}
	want := []string{"dns-forgotten", "empty-list-means-all", "peer-selects-nothing", "peers-or-instead-of-and", "service-port-for-target-port"}
	if !slices.Equal(all[0].Rules, want) {
		t.Errorf("corrected %v, want %v", all[0].Rules, want)
	}
	const corrected = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ai, name: gateway}
spec:
  podSelector: {matchLabels: {app: gateway}}
  ingress:
  - {}
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}
      podSelector: {matchLabels: {app: chat}}
  - ports:
    - port: 4000 # of the Service
  egress:
  - to: [{podSelector: {matchLabels: {app: model}}}] # misspelt
  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
    ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
`
	if all[0].YAML != corrected {
		t.Errorf("got\n%s\nwant\n%s", all[0].YAML, corrected)
	}
	for _, f := range check(t, all[0].YAML, manyPods) {
		if slices.Contains(want, f.Rule) {
			t.Errorf("is still there: %s", f)
		}
	}
}

// Whatever the stories have wrong, correcting everything at once leaves none of
// what was corrected, and no error that it made itself.
func TestCorrectingEverythingLeavesNothingOfIt(t *testing.T) {
	documents := 0
	for _, s := range stories(t) {
		t.Run(s.mistake+"/"+s.name, func(t *testing.T) {
			before := read(t, s.text, s.base)
			text := s.text
			for _, c := range Correct(before, Info) {
				documents++
				text = apply(t, text, Finding{Object: c.Object, Corrected: c.YAML})
			}
			had := map[string]bool{}
			for _, f := range Check(before) {
				had[f.Rule+f.Object.String()+f.Position.Field+f.What] = f.Corrected != "" && !f.New
			}
			for _, f := range check(t, text, s.base) {
				if key := f.Rule + f.Object.String() + f.Position.Field + f.What; had[key] {
					t.Errorf("is still there: %s\n%s", f, text)
				}
			}
		})
	}
	if documents < 30 {
		t.Errorf("only %d documents were corrected", documents)
	}
}
