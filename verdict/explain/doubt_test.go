package explain

import (
	"strings"
	"testing"
)

// What is said about private networks is so at every address of theirs.
func TestAGuessIsCertain(t *testing.T) {
	const pods = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: a, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: CIDR}}]}]}
`
	const every = "With pods in any private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16) the answer is "
	for cidr, want := range map[string]string{
		"10.96.0.0/12":   "With pods in 172.16.0.0/12 or 192.168.0.0/16 the answer is No; with pods in 10.0.0.0/8 it depends on their addresses.",
		"10.0.0.0/8":     "With pods in 10.0.0.0/8 the answer is Yes; with pods in 172.16.0.0/12 or 192.168.0.0/16 the answer is No.",
		"203.0.113.0/24": every + "No.",
		"0.0.0.0/0":      every + "Yes.",
		"192.168.3.7/32": "With pods in 10.0.0.0/8 or 172.16.0.0/12 the answer is No; with pods in 192.168.0.0/16 it depends on their addresses.",
	} {
		a, _ := answer(t, setOf(t, strings.ReplaceAll(pods, "CIDR", cidr)), Names{From: "a/web", To: "a/db", Port: "80"})
		if !strings.HasSuffix(a.Next, " "+want) {
			t.Errorf("%s: got %q, want %q", cidr, a.Next, want)
		}
	}
}
