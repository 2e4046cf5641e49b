package compile

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const onlyApps = `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: apps}}}]}]`

func TestWhichPodsArePeers(t *testing.T) {
	far := func(edit func(*corev1.Pod)) Input {
		in := input(t, onlyApps)
		edit(in.Pods[3])
		return in
	}
	for _, tt := range []struct {
		name string
		in   Input
		want string
	}{
		{"a pod of another node", far(func(*corev1.Pod) {}), "+ far > gateway:1/tcp"},
		{"a finished pod's address is nobody's", far(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), "- far > gateway:1/tcp"},
		{"a failed pod's address is nobody's", far(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), "- far > gateway:1/tcp"},
		{"a pod on the host's network is the node", far(func(p *corev1.Pod) { p.Spec.HostNetwork = true }), "- far > gateway:1/tcp"},
		{"a pod without address", far(func(p *corev1.Pod) { p.Status.PodIP = "" }), "- far > gateway:1/tcp"},
		{"an address of this node's range is known from the node only", far(func(p *corev1.Pod) { p.Status.PodIP = "10.244.1.3" }), "- db > gateway:1/tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, Node(tt.in), tt.want) })
	}
}

func TestAnAddressOfTheNodeWithoutPodIsClosed(t *testing.T) {
	check(t, Node(input(t)), `
		- 10.244.1.99 > gateway:4000/tcp
		- chat > 10.244.1.99:80/tcp
		+ chat > 10.244.2.99:80/tcp`)
}

func TestAPodTheAPIHasNotShownIsClosed(t *testing.T) {
	in := input(t)
	in.Local = append(in.Local, LocalPod{Namespace: "apps", Name: "new", UID: "new", Addrs: []netip.Addr{netip.MustParseAddr("10.244.1.9")}})
	check(t, Node(in), `
		- 10.244.1.9 > gateway:4000/tcp
		- chat > 10.244.1.9:80/tcp
		+ chat > gateway:4000/tcp`)
}

func TestModeIgnoreIsolatesNobody(t *testing.T) {
	in := input(t, `podSelector: {}`)
	in.Enforce = false
	check(t, Node(in), "+ chat > gateway:4000/tcp")
}

func TestTheOrderOfObjectsDoesNotMatter(t *testing.T) {
	policies := []string{onlyApps, `podSelector: {}`, "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: api}]}]"}
	in := input(t, policies...)
	want := Node(in).Ruleset.String()
	slices.Reverse(in.Policies)
	slices.Reverse(in.Pods)
	slices.Reverse(in.Namespaces)
	slices.Reverse(in.Local)
	if got := Node(in).Ruleset.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestOnlyPoliciesOfLocalPodsCostRules(t *testing.T) {
	out := Node(input(t, `podSelector: {matchLabels: {app: elsewhere}}`))
	if len(out.Ruleset.Counters) != 0 {
		t.Errorf("counters for a policy that selects no pod here: %v", out.Ruleset.Counters)
	}
}

func TestTheReasonOfDropsChangesWithThePoliciesOnly(t *testing.T) {
	reason := func(policy string, edit func(*Input)) string {
		in := input(t, policy)
		edit(&in)
		out := Node(in)
		for name, m := range out.Meanings {
			if m.Kind == PodDrops && m.Object == "ai/gateway" && m.Direction == "ingress" {
				return out.Reason(name)
			}
		}
		t.Fatal("the pod has no counter of drops")
		return ""
	}
	same := func(*Input) {}
	base := reason(onlyApps, same)
	if got := reason(onlyApps, func(in *Input) { in.Pods = in.Pods[:3] }); got != base {
		t.Error("another pod's going changed it")
	}
	if got := reason(onlyApps+"\negress: [{}]", same); got != base {
		t.Error("the other direction changed it")
	}
	if got := reason("podSelector: {matchLabels: {app: gateway}}", same); got == base {
		t.Error("a rule that goes must change it")
	}
}
