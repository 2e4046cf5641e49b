package explain

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// A private address that nothing in the input has may be a pod's, whose policies
// decide too: a rule that was not written for it proves nothing.
func TestAPrivateAddressMayBeInside(t *testing.T) {
	const text = `apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: ai, labels: {app: gateway}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway, namespace: ai}
spec:
  podSelector: {matchLabels: {app: gateway}}
  policyTypes: [Egress]
  egress:
  - {to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.9.0.0/16]}}], ports: [{port: 443}]}
  - {to: [{ipBlock: {cidr: 10.1.2.0/24}}], ports: [{port: 5432}]}
`
	for _, tt := range []struct{ name, to, port, want, says string }{
		{"a wide block", "10.244.1.7", "443", "Unknown", "--pod-cidr and --service-cidr"},
		{"what the block leaves out", "10.9.1.7", "443", "Deny", "taken for an address outside the cluster"},
		{"another port", "10.244.1.7", "80", "Deny", "taken for an address outside the cluster"},
		{"a block for its network", "10.1.2.3", "5432", "Allow", "taken for an address outside the cluster"},
		{"a public address", "203.0.113.7", "443", "Allow", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, said := answer(t, setOf(t, text), Names{From: "ai/gateway", To: tt.to, Port: tt.port})
			flat := strings.Join(strings.Fields(said), " ")
			if a.Verdict != tt.want || !strings.Contains(flat, tt.says) || tt.says == "" && strings.Contains(flat, "outside the cluster. If") {
				t.Errorf("%s, want %s:\n%s", a.Verdict, tt.want, said)
			}
		})
	}
	ranges := manifest.Options{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	set, err := manifest.ReadStream("all.yaml", strings.NewReader(text), ranges)
	if err != nil {
		t.Fatal(err)
	}
	if a, said := answer(t, set, Names{From: "ai/gateway", To: "10.200.1.7", Port: "443"}); a.Verdict != "Allow" || strings.Contains(said, "taken for") {
		t.Errorf("outside of both ranges:\n%s", said)
	}
}
