package rollout

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

var platformNamespaces = map[string]map[string]string{"ai": {"tier": "ai"}, "apps": {"tier": "apps"}}

func workloadPod(ns, app, replica string, ports ...verdict.Port) verdict.Pod {
	return verdict.Pod{
		Namespace: ns, Name: app + "-" + replica, Ports: ports,
		Labels: map[string]string{"app": app, "pod-template-hash": replica},
	}
}

func platform() []verdict.Pod {
	return []verdict.Pod{
		workloadPod("apps", "batch", "1"), workloadPod("apps", "batch", "2"),
		workloadPod("apps", "chat", "1"),
		workloadPod("ai", "gateway", "1", verdict.Port{Name: "http", Number: 4000}),
		workloadPod("ai", "model", "1", verdict.Port{Name: "http", Number: 8000}),
	}
}

func lines(all []Exposure) []string {
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%s -> %s %d/%s %s", e.From.Key(), e.To.Key(), e.Port.Number, e.Port.Protocol, e.Decision))
	}
	return got
}

// exposures of a change that adds, and replaces what has the same name.
func exposures(t *testing.T, w verdict.World, candidates []verdict.Policy, pods []verdict.Pod, ports ...verdict.Port) []Exposure {
	t.Helper()
	p, err := Prove(Change{World: w, Candidates: candidates, Pods: pods}, nil, ProofOptions{Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	return p.Exposures
}

func TestExposures(t *testing.T) {
	// The baseline keeps batch from leaving; the candidate lets it out to
	// everything and closes the gateway instead. Before, egress denies; after,
	// ingress does; a batch pod let out early reaches a gateway still open.
	closedOut := `apps/closed {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress]}`
	letOut := `apps/open {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress], egress: [{}]}`
	gateway := `ai/gateway {podSelector: {matchLabels: {app: gateway}}, ingress: [{from: [{namespaceSelector: {matchLabels: {tier: apps}}, podSelector: {matchLabels: {app: chat}}}]}]}`
	vague := `ai/gateway {podSelector: {matchLabels: {app: gateway}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`
	for _, tt := range []struct {
		name                 string
		baseline, candidates []string
		want                 []string
	}{
		{"nothing changes", []string{closedOut}, nil, nil},
		{"one end only", nil, []string{gateway}, nil},
		{"a pure tightening", []string{closedOut}, []string{gateway}, nil},
		{"baseline closes one end, candidate the other", []string{closedOut}, []string{letOut, gateway},
			[]string{"apps/batch-1 -> ai/gateway-1 4000/TCP Allow", "apps/batch-1 -> ai/gateway-1 53/UDP Allow"}},
		{"it is no exposure if the candidate allows it", []string{closedOut}, []string{letOut}, nil},
		{"it is no exposure if the target was closed before", []string{closedOut, gateway}, []string{letOut}, nil},
		{"the other way round", []string{gateway}, []string{closedOut, `ai/open {podSelector: {matchLabels: {app: gateway}}, ingress: [{}]}`},
			[]string{"apps/batch-1 -> ai/gateway-1 4000/TCP Allow", "apps/batch-1 -> ai/gateway-1 53/UDP Allow"}},
		{"a set that does not certainly deny has no exposures", []string{closedOut}, []string{letOut, vague}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := verdict.World{Namespaces: platformNamespaces, Policies: parse(t, tt.baseline)}
			got := lines(exposures(t, w, parse(t, tt.candidates), platform(), verdict.Port{Number: 53, Protocol: corev1.ProtocolUDP}))
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExposuresSayWhereTheMixIsUnknown(t *testing.T) {
	w := verdict.World{Policies: parse(t, []string{`apps/closed {policyTypes: [Egress]}`})} // no namespace's labels are known
	candidates := parse(t, []string{`apps/open {policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {tier: ai}}}]}]}`, `ai/closed {}`})
	pods := []verdict.Pod{workloadPod("apps", "batch", "1"), workloadPod("ai", "gateway", "1", verdict.Port{Number: 4000})}
	got := lines(exposures(t, w, candidates, pods))
	if want := []string{"apps/batch-1 -> ai/gateway-1 4000/TCP Unknown"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExposuresTryEveryFamily(t *testing.T) {
	w := verdict.World{Policies: parse(t, []string{`apps/closed {policyTypes: [Egress]}`})}
	only6 := parse(t, []string{`apps/open {policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "fd00::/8"}}]}]}`, `ai/closed {}`})
	pods := []verdict.Pod{workloadPod("apps", "batch", "1"), workloadPod("ai", "gateway", "1", verdict.Port{Number: 4000})}
	for i := range pods {
		pods[i].IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)})}
	}
	if got := lines(exposures(t, w, only6, pods)); len(got) != 1 {
		t.Errorf("the IPv6 path is opened: got %q", got)
	}
	pods[1].IPs = pods[1].IPs[:1]
	if got := lines(exposures(t, w, only6, pods)); len(got) != 0 {
		t.Errorf("there is no IPv6 path: got %q", got)
	}
}

func TestWorkloadsAreToldApartByTheirOwnLabels(t *testing.T) {
	names := map[string]bool{}
	for _, p := range platform() {
		p.Labels = labels.Merge(p.Labels, labels.Set{"tightrope.dev/enforced": "r1"})
		names[WorkloadByLabels(&p)] = true
	}
	if len(names) != 4 {
		t.Errorf("two replicas are one workload: got %v", names)
	}
}

func TestWhatAChangeChanges(t *testing.T) {
	c := Change{World: verdict.World{Policies: parse(t, []string{
		"ai/a {egress: [{ports: [{port: 1}]}]}",
		"ai/b {podSelector: {matchLabels: {app: x}}}",
		"ai/old {}",
		"ai/stays {}",
	})}, Candidates: parse(t, []string{
		"ai/a {policyTypes: [Egress, Ingress], ingress: [], egress: [{to: [], ports: [{port: 1, protocol: TCP}]}]}", // equal once defaulted
		"ai/b {podSelector: {matchLabels: {app: y}}}",
		"data/a {}",
	}), Remove: []string{"ai/old", "ai/typo"}}
	keys := func(all []verdict.Policy) (k []string) {
		for _, p := range all {
			k = append(k, p.Key())
		}
		return k
	}
	for name, tt := range map[string]struct {
		got  []verdict.Policy
		want []string
	}{
		"K":     {c.kept(), []string{"ai/a", "ai/stays"}},
		"R":     {c.replaced(), []string{"ai/b", "ai/old"}},
		"C":     {c.news(), []string{"ai/b", "data/a"}},
		"after": {c.After().Policies, []string{"ai/a", "ai/stays", "ai/b", "data/a"}},
	} {
		if got := keys(tt.got); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	if len(c.Candidates) != 3 || len(c.World.Policies) != 4 {
		t.Error("the change was modified")
	}
}

// TestStatesAreWhatTheInstalledObjectsDo installs the very objects that the
// planner names, with their selectors per pod state, and judges random edges by
// them: baseline is base, bridged is base or candidate, enforced is candidate,
// and Prove lists exactly the edges that some mix opens.
func TestStatesAreWhatTheInstalledObjectsDo(t *testing.T) {
	pods := []verdict.Pod{workloadPod("ai", "a", "1"), workloadPod("ai", "b", "1"), workloadPod("apps", "a", "1"), workloadPod("apps", "c", "1")}
	port := verdict.Port{Number: 80, Protocol: corev1.ProtocolTCP}
	found := 0
	for seed := range uint64(800) {
		r := rand.New(rand.NewPCG(seed, 3))
		base := verdict.World{Namespaces: platformNamespaces, Policies: randomPolicies(r, "k")}
		candidates := randomPolicies(r, "c")
		worlds := installed(t, base, candidates)
		listed := exposures(t, base, candidates, pods, port)
		found += len(listed)
		for i := range pods {
			for j := range pods {
				if i == j {
					continue
				}
				from, to := &pods[i], &pods[j]
				got := slices.ContainsFunc(listed, func(e Exposure) bool { return e.From.Key() == from.Key() && e.To.Key() == to.Key() })
				if want := opened(t, worlds, from, to, port); got != want {
					t.Fatalf("seed %d: %s -> %s: listed %t, opened by a mix %t", seed, from.Key(), to.Key(), got, want)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d exposures in all: the generator makes too few to test anything", found)
	}
}

// installed are the worlds at baseline, bridged and enforced, as the API server
// would hold them: what a pod's own labels make of the live objects.
func installed(t *testing.T, base verdict.World, candidates []verdict.Policy) [3]*verdict.Snapshot {
	t.Helper()
	bridges, err := Bridges(base.Policies, candidates)
	if err != nil {
		t.Fatal(err)
	}
	bridgedWorld, enforced := base, base
	enforced.Policies = slices.Clone(base.Policies)
	for _, c := range candidates {
		c.Spec.PodSelector = CandidateSelector(c.Spec.PodSelector, Live, "r1")
		enforced.Policies = append(enforced.Policies, c)
	}
	bridgedWorld.Policies = slices.Clone(enforced.Policies)
	for i, b := range bridges {
		p := verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprint("bridge-", i), Spec: BridgeSpec(b, BridgeSelector(b, Live, "r1"))}
		bridgedWorld.Policies = append(bridgedWorld.Policies, p)
	}
	enforced.Policies = bridgedWorld.Policies // the same objects: only the pod's label differs
	return [3]*verdict.Snapshot{verdict.Compile(base, nil), verdict.Compile(bridgedWorld, nil), verdict.Compile(enforced, nil)}
}

func opened(t *testing.T, worlds [3]*verdict.Snapshot, from, to *verdict.Pod, port verdict.Port) bool {
	t.Helper()
	judge := func(state int) verdict.Verdict {
		a, b := *from, *to
		if state == 2 {
			mark := map[string]string{"tightrope.dev/enforced": "r1"}
			a.Labels, b.Labels = labels.Merge(a.Labels, mark), labels.Merge(b.Labels, mark)
		}
		return worlds[state].Judge(verdict.Conn{From: verdict.End{Pod: &a}, To: verdict.End{Pod: &b}, Port: port.Number, Protocol: port.Protocol})
	}
	states := [3]verdict.Verdict{judge(0), judge(1), judge(2)}
	if states[0].Decision != verdict.Deny || states[2].Decision != verdict.Deny {
		if (states[1].Decision == verdict.Deny) && (states[0].Decision == verdict.Allow || states[2].Decision == verdict.Allow) {
			t.Fatalf("%s -> %s: the bridged state cuts what baseline or candidate allows", from.Key(), to.Key())
		}
		return false
	}
	for _, source := range states {
		for _, target := range states {
			if source.Egress.Decision == verdict.Allow && target.Ingress.Decision == verdict.Allow {
				return true
			}
		}
	}
	return false
}

func randomPolicies(r *rand.Rand, prefix string) []verdict.Policy {
	var all []verdict.Policy
	for i := range 1 + r.IntN(4) {
		p := verdict.Policy{Namespace: []string{"ai", "apps"}[r.IntN(2)], Name: fmt.Sprint(prefix, i)}
		if r.IntN(2) == 0 {
			p.Spec.PodSelector.MatchLabels = map[string]string{"app": []string{"a", "b", "c"}[r.IntN(3)]}
		}
		p.Spec.PolicyTypes = []networkingv1.PolicyType{[]networkingv1.PolicyType{in, out}[r.IntN(2)]}
		if r.IntN(2) == 0 {
			p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
			p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
		}
		all = append(all, p)
	}
	return all
}
