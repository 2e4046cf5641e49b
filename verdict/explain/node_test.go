package explain

import (
	"strings"
	"testing"
)

// nodes has a pod on a node, one of which no node is known, and one on a node that is
// known from its status alone.
const nodes = `apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 172.18.0.4}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: a}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: third, namespace: a}
spec: {nodeName: n3, containers: [{name: c, image: i}]}
status: {podIP: 10.244.3.5, hostIP: 172.18.0.5}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: b}
spec: {selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {hostNetwork: true, containers: [{name: c, image: i}]}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`

// Traffic between a pod and its own node is always allowed.
func TestANodesAddressIsThatOfTheNode(t *testing.T) {
	set := setOf(t, nodes)
	for _, tt := range []struct{ from, to, verdict, says string }{
		{"172.18.0.3", "a/web", "Allow", "No policy can close it"},
		{"a/web", "172.18.0.3", "Allow", "is an address of the node of a/web"},
		{"::ffff:172.18.0.3", "a/web", "Allow", "is an address of the node of a/web"},
		{"172.18.0.4", "a/web", "Deny", "ipBlock"},
		{"a/web", "172.18.0.4", "Deny", "ipBlock"},
		{"172.18.0.5", "a/third", "Allow", "is an address of the node of a/third"},
		{"172.18.0.4", "a/waiting", "Unknown", "which node a/waiting is on is not known"},
		{"a/waiting", "172.18.0.4", "Unknown", "Add the pods with their nodes"},
		{"b/agent", "a/web", "Unknown", "Add the pods with their nodes"},
		{"203.0.113.7", "a/web", "Deny", "ipBlock"},
	} {
		a, text := answer(t, set, Names{From: tt.from, To: tt.to, Port: "80"})
		if a.Verdict != tt.verdict || !strings.Contains(strings.Join(strings.Fields(text), " "), tt.says) {
			t.Errorf("%s to %s: got %s, want %s and %q\n%s", tt.from, tt.to, a.Verdict, tt.verdict, tt.says, text)
		}
	}
}
