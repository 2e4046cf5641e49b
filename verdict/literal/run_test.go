package literal

import (
	"net/netip"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestAConnectionRunsOverOneFamily(t *testing.T) {
	four := `- {namespace: ai, name: in, spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}` + "\n"
	six := `- {namespace: ai, name: in6, spec: {ingress: [{from: [{ipBlock: {cidr: "fd00::/8"}}]}]}}` + "\n"
	only6 := `- {namespace: mon, name: out, spec: {policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "::/0"}}]}]}}` + "\n"
	stated := to(dual2, dual, 1)
	stated.From.IP = netip.MustParseAddr("fd00::8")
	several := pod("mon/several", "10.1.0.9 11.1.0.9")
	check(t, []clause{
		{"the one that both have", four, to(prom, dual, 1), allowed},
		{"either of two that both have", four, to(dual2, dual, 1), unknown},
		{"both families are let in", four + six, to(dual2, dual, 1), allowed},
		{"the one of a stated address", four, stated, denied},
		{"where each is denied by one side", four + only6, to(dual2, dual, 1), denied},
		{"where they share none, each address of the peer counts", four, to(dual2, pod("ai/none", ""), 1), unknown},
		{"a pod without addresses may be in any block", four, to(pod("mon/none", ""), model, 1), unknown},
		{"a block that tells two addresses of a family apart", four, to(several, model, 1), unknown},
	})
}

// A side that stands for several families says nothing that one of them denies.
func TestSidesOfTwoFamilies(t *testing.T) {
	v := Judge(policies(t, `- {namespace: ai, name: in, spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}`), to(dual2, dual, 1))
	if v.Egress.Decision != verdict.Allow || v.Ingress.Decision != verdict.Unknown || v.Ingress.Policy != "ai/in" {
		t.Errorf("got %+v", v)
	}
}
