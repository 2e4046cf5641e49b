package explain

import (
	"strings"
	"testing"
)

// A target port that is a name is another number on each pod that declares it so.
func TestAServiceMayLeadToDifferentPorts(t *testing.T) {
	pod := func(name, port string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: ai, labels: {app: model}}\n" +
			"spec: {containers: [{name: c, image: c, ports: [{name: http, containerPort: " + port + "}]}]}\n"
	}
	set := setOf(t, `apiVersion: v1
kind: Service
metadata: {name: model, namespace: ai}
spec: {selector: {app: model}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: ai, labels: {app: client}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: model, namespace: ai}
spec:
  podSelector: {matchLabels: {app: model}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 8000}]}]
`+pod("a", "8000")+pod("b", "8080")+pod("c", "8080"))
	_, text := answer(t, set, Names{From: "ai/client", To: "svc/ai/model", Port: "80"})
	flat := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"No: ai/client may not connect to ai/b on 8080/TCP.",
		"Service ai/model on port 80 leads to port 8000 of ai/a, and to port 8080 of ai/b and ai/c.",
		"Of 3 pairs of pods, 1 may connect and 2 may not. This is about the first that may not.",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}
