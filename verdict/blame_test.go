package verdict

import (
	"slices"
	"testing"
)

func TestBlameFallsOnThePolicyToLookAt(t *testing.T) {
	bare := policy(t, "ai/a-default-deny", `policyTypes: [Ingress]`)
	noRules := policy(t, "ai/b-no-rules", `{podSelector: {matchLabels: {app: model}}}`)
	dns := policy(t, "ai/b-for-all", `ingress: [{ports: [{port: 53}]}]`)
	far := policy(t, "ai/c-far", `{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}], ports: [{port: 1}]}]}`)
	port := policy(t, "ai/d-port", `{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}], ports: [{port: 9090}]}]}`)
	peer := policy(t, "ai/e-peer", `{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: mon}}}], ports: [{port: 1}]}]}`)
	near := policy(t, "ai/z-near", `ingress: [{ports: [{port: 9090}], from: [{podSelector: {matchLabels: {app: x}}}]}]`)
	twin := peer
	twin.Name = "f-peer"
	for _, tt := range []struct {
		name string
		set  []Policy
		want string
	}{
		{"the default deny if it is alone", []Policy{bare}, "ai/a-default-deny"},
		{"not the default deny if another selects the pod", []Policy{bare, noRules}, "ai/b-no-rules"},
		{"rather one with rules", []Policy{bare, noRules, far}, "ai/c-far"},
		{"rather one about the pod than one about everything", []Policy{bare, dns, far}, "ai/c-far"},
		{"rather one that lists the port", []Policy{bare, dns, far, port}, "ai/d-port"},
		{"rather one that lists the peer", []Policy{bare, dns, far, port, peer}, "ai/e-peer"},
		{"rather a near one about everything than a far one about the pod", []Policy{bare, far, near}, "ai/z-near"},
		{"the first by name of equals", []Policy{twin, peer, bare}, "ai/e-peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 {
				v := judge(t, world(t, tt.set...), to(prom, model, 9090))
				if v.Decision != Deny || v.Ingress.Policy != tt.want {
					t.Errorf("got %s by %s, want Deny by %s", v.Decision, v.Ingress.Policy, tt.want)
				}
				slices.Reverse(tt.set)
			}
		})
	}
}
