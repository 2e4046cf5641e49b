package operator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// named is a cluster with a client, a server and a name server, each behind a
// Service, and a rollout that closes the client's egress but for the apps given.
func named(allowed ...string) (*world, *Plan) {
	w := &world{pods: map[types.NamespacedName]*corev1.Pod{}, services: map[types.NamespacedName]*corev1.Service{}, slices: map[types.NamespacedName][]*discoveryv1.EndpointSlice{}}
	w.verdict.Namespaces = map[string]map[string]string{"a": {}, "kube-system": {}}
	add := func(ns, name, ip string, port int32, protocol corev1.Protocol) {
		key := types.NamespacedName{Namespace: ns, Name: name}
		w.pods[key] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}}, Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
		w.services[key] = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0." + ip[len(ip)-1:], Ports: []corev1.ServicePort{{Name: "p", Port: port, Protocol: protocol}}}}
		w.slices[key] = []*discoveryv1.EndpointSlice{{Ports: []discoveryv1.EndpointPort{{Name: ptr.To("p"), Port: ptr.To(port)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Namespace: ns, Name: name}}}}}
	}
	add("a", "server", "10.0.0.2", 8080, corev1.ProtocolTCP)
	add("kube-system", "kube-dns", "10.0.0.3", dnsPort, corev1.ProtocolUDP)
	spec := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}
	for _, app := range allowed {
		spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}})
	}
	p := &Plan{Plan: plan.Plan{Run: "r-1", Identities: []v1alpha1.Identity{{Name: "client", Namespace: "a", Labels: map[string]string{"app": "client"}}},
		Candidates: []plan.Candidate{candidate("a", "client-egress", "client", spec)}}}
	p.Paths = []plan.Path{aPath("to server", "a", "server", 8080, "TCP")}
	return w, p
}

func aPath(name, ns, service string, port int32, protocol string) plan.Path {
	path := plan.Path{WitnessPath: -1}
	path.Name, path.From, path.Expect = name, "client", v1alpha1.ExpectAllow
	path.To.Service = v1alpha1.ServiceTarget{Namespace: ns, Name: service, Port: port, Protocol: protocol}
	return path
}

func TestWhatThePoliciesShowIsRefused(t *testing.T) {
	accept := func(t v1alpha1.ExceptionType, path string) *v1alpha1.PolicyRolloutSpec {
		return &v1alpha1.PolicyRolloutSpec{Exceptions: []v1alpha1.Exception{{Type: t, Path: path, Reason: "to see it"}}}
	}
	for _, tt := range []struct {
		name    string
		allowed []string
		edit    func(*world, *Plan)
		spec    *v1alpha1.PolicyRolloutSpec
		refused string // empty: goes on
		cuts    int
	}{
		{"what stays open goes on", []string{"server", "kube-dns"}, nil, &nobody, "", 0},
		{"a cut is refused", []string{"kube-dns"}, nil, &nobody, `path "to server" would be cut: a/client-egress egress: no rule allows 8080/TCP to a/server`, 1},
		{"so is a path whose name could not be looked up any more", []string{"server"}, nil, &nobody, `path "to server" would be cut: a/client-egress egress: no rule allows 53/UDP to kube-system/kube-dns`, 1},
		{"not if it goes by address only", []string{"server"}, func(_ *world, p *Plan) { p.Paths[0].Via = []v1alpha1.Via{v1alpha1.ViaPodIP} }, &nobody, "", 0},
		{"an exception accepts it", nil, nil, accept(v1alpha1.ExceptionPredictedCut, "to server"), "", 1},
		{"one for another path does not", nil, nil, accept(v1alpha1.ExceptionPredictedCut, "to nobody"), "would be cut", 1},
		{"one of another type does not", nil, nil, accept(v1alpha1.ExceptionUnqualifiedPath, "to server"), "would be cut", 1},
		{"a path without a vote stops nothing", nil, func(_ *world, p *Plan) { p.Paths[0].Criticality = v1alpha1.CriticalityWarning }, &nobody, "", 1},
		{"a path that the baseline denies already is said so", nil, denyAll, &nobody, "neither the policies that are there nor the candidates allow it", 1},
		{"and may be accepted as one that does not work", nil, denyAll, accept(v1alpha1.ExceptionUnqualifiedPath, "to server"), "", 1},
		{"a path to the name servers speaks for all look-ups of its source", []string{"server"}, func(_ *world, p *Plan) {
			p.Paths = append(p.Paths, aPath("to names", "kube-system", "kube-dns", dnsPort, "UDP"))
		}, accept(v1alpha1.ExceptionPredictedCut, "to names"), "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := named(tt.allowed...)
			if tt.edit != nil {
				tt.edit(w, p)
			}
			no := &refusal{}
			p.predict(w, p.prospect(w), tt.spec, no)
			said := no.Error()
			if (len(no.reasons) > 0) != (tt.refused != "") || !strings.Contains(said, tt.refused) || len(p.Predicted) != tt.cuts {
				t.Fatalf("refused %q, predicted %+v; want %q and %d cuts", no.reasons, p.Predicted, tt.refused, tt.cuts)
			}
			if first, rest, _ := strings.Cut(said, "\n"); tt.refused != "" && (!strings.Contains(first, tt.refused) || !strings.Contains(rest, "type: PredictedCut")) {
				t.Errorf("said %q; want the sentence first, then what to write", said)
			}
		})
	}
}

// denyAll closes the client's egress before the rollout.
func denyAll(w *world, _ *Plan) {
	np := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "closed"}}
	np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	w.policies = append(w.policies, np)
}

// An exception for a path that no suite has accepts nothing.
func TestAnExceptionNamesAPath(t *testing.T) {
	_, p := named()
	no := &refusal{}
	p.settleExceptions(&v1alpha1.PolicyRolloutSpec{Exceptions: []v1alpha1.Exception{
		{Type: v1alpha1.ExceptionPredictedCut, Path: "to sever", Reason: "r"}, {Type: v1alpha1.ExceptionUnqualifiedPath, Path: "to server", Reason: "r"},
	}}, no)
	if len(no.reasons) != 1 || !strings.Contains(no.reasons[0], `"to sever"`) || !p.Paths[0].MayFail {
		t.Errorf("refused %q, may fail %v; want the misspelt path refused, the other accepted", no.reasons, p.Paths[0].MayFail)
	}
}

// A path that could not be tried is refused with its name, before an agent would
// pass over it.
func TestAPathThatCannotBeTriedIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*world, *plan.Path)
		want string // of the refusal; empty: none
		ways int
	}{
		{"an ordinary path has both ways", func(*world, *plan.Path) {}, "", 2},
		{"an HTTP path without a slash", func(_ *world, p *plan.Path) {
			p.Probe = v1alpha1.Probe{Type: v1alpha1.ProbeHTTP, Path: "health"}
		}, `path "health" is not a /`, 0},
		{"TCP to a port of UDP", func(_ *world, p *plan.Path) { p.To.Service.Protocol = "UDP" }, `"TCP/UDP"`, 0},
		{"DNS by a headless Service, as was asked", func(w *world, p *plan.Path) {
			headless(w)
			p.Probe, p.Via = v1alpha1.Probe{Type: v1alpha1.ProbeDNS}, []v1alpha1.Via{v1alpha1.ViaService}
		}, "use via PodIP", 0},
		{"DNS by a headless Service, where nothing was asked", func(w *world, p *plan.Path) {
			headless(w)
			p.Probe = v1alpha1.Probe{Type: v1alpha1.ProbeDNS}
		}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := named()
			path, no := p.Paths[0], &refusal{}
			tt.edit(w, &path)
			p.settleWays(&path, w, `path "to server"`, no)
			if (len(no.reasons) > 0) != (tt.want != "") || !strings.Contains(no.Error(), tt.want) {
				t.Errorf("refused %q, want %q", no.reasons, tt.want)
			}
			if tt.want == "" && (len(path.Via) != tt.ways || len(p.Unprobeable) != 2-tt.ways) {
				t.Errorf("ways %v, not tested %+v; want %d ways, and each missing one said", path.Via, p.Unprobeable, tt.ways)
			}
		})
	}
}

func headless(w *world) {
	w.services[types.NamespacedName{Namespace: "a", Name: "server"}].Spec.ClusterIP = corev1.ClusterIPNone
}
