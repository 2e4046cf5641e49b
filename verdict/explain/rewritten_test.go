package explain

import (
	"strings"
	"testing"
)

// entrance is a Service and a policy about what enters its pod.
const entrance = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {SPEC, clusterIP: 10.96.3.3, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [RULE]}
`

func TestASourceThatNodesMayRewriteIsNotKnown(t *testing.T) {
	const block, v4, clients = "{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}", "{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}", "{from: [{podSelector: {}}]}"
	for _, tt := range []struct{ service, rule, from, to, verdict string }{
		{"type: LoadBalancer", block, "203.0.113.7", "svc/a/web", "Unknown"},
		{"type: LoadBalancer", block, "198.51.100.7", "svc/a/web", "Unknown"},
		{"type: NodePort, externalTrafficPolicy: Cluster", block, "203.0.113.7", "svc/a/web", "Unknown"},
		{"type: ClusterIP, externalIPs: [192.0.2.1]", block, "203.0.113.7", "192.0.2.1", "Unknown"},
		{"type: LoadBalancer, externalTrafficPolicy: Local", block, "203.0.113.7", "svc/a/web", "Allow"},
		{"type: NodePort, externalTrafficPolicy: Local", block, "198.51.100.7", "svc/a/web", "Deny"},
		{"type: LoadBalancer", "{}", "203.0.113.7", "svc/a/web", "Allow"},
		{"type: LoadBalancer", v4, "203.0.113.7", "svc/a/web", "Allow"},
		{"type: LoadBalancer", v4, "2001:db8::7", "svc/a/web", "Deny"},
		{"type: LoadBalancer", clients, "203.0.113.7", "svc/a/web", "Deny"},
		{"type: LoadBalancer", block, "203.0.113.7", "a/web", "Allow"},
	} {
		port := map[bool]string{true: "8080", false: "80"}[tt.to == "a/web"]
		set := setOf(t, strings.NewReplacer("SPEC", tt.service, "RULE", tt.rule).Replace(entrance))
		a, text := answer(t, set, Names{From: tt.from, To: tt.to, Port: port})
		if a.Verdict != tt.verdict {
			t.Errorf("%s, %s, from %s: got %s, want %s\n%s", tt.service, tt.rule, tt.from, a.Verdict, tt.verdict, text)
		}
		if told := strings.Join(strings.Fields(text), " "); a.Unknown() && (!strings.Contains(told, "externalTrafficPolicy of Service a/web is Cluster") || strings.Count(told, "to Local; else allow") != 1) {
			t.Errorf("the reason is missing, or what to do is: %s", text)
		}
	}
}
