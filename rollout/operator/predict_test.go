package operator

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// crowd is a cluster of 500 pods in two namespaces, each of its own workload in
// namespace a, whose egress the baseline closes.
func crowd() *world {
	w := &world{pods: map[types.NamespacedName]*corev1.Pod{}}
	w.verdict.Namespaces = map[string]map[string]string{"a": nil, "b": nil}
	for i := range 500 {
		ns := []string{"a", "b"}[i%2]
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("p-%03d", i), Labels: map[string]string{"app": fmt.Sprint("app-", i)}}}
		p.Status.PodIPs = []corev1.PodIP{{IP: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)}}
		w.pods[types.NamespacedName{Namespace: ns, Name: p.Name}] = p
	}
	closed := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "closed"}}
	closed.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	w.policies = []networkingv1.NetworkPolicy{closed}
	return w
}

// nobody accepts anything.
var nobody v1alpha1.PolicyRolloutSpec

func candidate(ns, name, app string, spec networkingv1.NetworkPolicySpec) plan.Candidate {
	spec.PodSelector.MatchLabels = map[string]string{"app": app}
	return plan.Candidate{Policy: plan.Policy{Namespace: ns, Name: name, Spec: spec}}
}

func TestExposuresAreFoundAmongManyPods(t *testing.T) {
	egress := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
	ingress := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}
	p := &Plan{Plan: plan.Plan{Run: "r-1", Candidates: []plan.Candidate{candidate("a", "open", "app-4", egress), candidate("b", "shut", "app-7", ingress)}}}
	no := &refusal{}
	w := crowd()
	w.pods[types.NamespacedName{Namespace: "b", Name: "p-007"}].Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}
	p.predict(w, p.prospect(w), &nobody, no)
	if want := []report.Exposure{{From: "a/p-004", To: "b/p-007", Port: "80/TCP"}}; !reflect.DeepEqual(p.Exposures, want) || len(no.reasons)+len(p.Unprobeable) > 0 {
		t.Errorf("got %+v, refused %q, unprobeable %v, want %+v", p.Exposures, no.reasons, p.Unprobeable, want)
	}
}

func TestExposuresPastTheListAreCounted(t *testing.T) {
	var all []plan.Candidate
	egress := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
	ingress := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}
	for i := range 10 {
		all = append(all, candidate("a", fmt.Sprint("open-", i), fmt.Sprint("app-", 2*i), egress), candidate("b", fmt.Sprint("shut-", i), fmt.Sprint("app-", 2*i+1), ingress))
	}
	p := &Plan{Plan: plan.Plan{Run: "r-1", Candidates: all}}
	w := crowd()
	p.predict(w, p.prospect(w), &nobody, &refusal{})
	if len(p.Exposures) != maxExposures+1 || !strings.Contains(p.Exposures[maxExposures].From, "and 50 more") {
		t.Errorf("got %d lines, the last %+v: 10 x 10 edges are open for a while", len(p.Exposures), p.Exposures[len(p.Exposures)-1])
	}
}

// Each of two candidates opens egress of one end and closes ingress of the other,
// the other way round: whichever is first, an edge is open that never should be.
func TestACircleOfExposuresIsRefused(t *testing.T) {
	both := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
	w := crowd()
	closed := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "closed"}}
	closed.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	w.policies = append(w.policies, closed)
	p := &Plan{Plan: plan.Plan{Run: "r-1", Candidates: []plan.Candidate{candidate("a", "one", "app-4", both), candidate("b", "other", "app-7", both)}}}
	no := &refusal{}
	p.predict(w, p.prospect(w), &nobody, no)
	got := strings.Join(no.reasons, "\n")
	if !strings.Contains(got, "a/p-004 to b/p-007") || !strings.Contains(got, "no order of the policies avoids it: first close one of the two ends") {
		t.Errorf("refused %q, want the edge and what to do", got)
	}
}

// One path exercises the rule that opens; nothing shows that the rest is shut.
func TestWhatNoPathExercisesIsNotTested(t *testing.T) {
	spec := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-9"}}}}},
			{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}}}}}}
	w := crowd()
	target := w.pods[types.NamespacedName{Namespace: "b", Name: "p-007"}]
	target.Status.Phase = corev1.PodRunning
	target.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}
	key := types.NamespacedName{Namespace: "b", Name: "s"}
	w.services = map[types.NamespacedName]*corev1.Service{key: {Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}}}}
	w.slices = map[types.NamespacedName][]*discoveryv1.EndpointSlice{key: {{
		Ports:     []discoveryv1.EndpointPort{{Port: ptr.To[int32](80), Protocol: ptr.To(corev1.ProtocolTCP), Name: ptr.To("")}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.8"}, TargetRef: &corev1.ObjectReference{Namespace: "b", Name: "p-007"}}}}}}
	p := &Plan{Plan: plan.Plan{Run: "r-1", Candidates: []plan.Candidate{candidate("b", "shut", "app-7", spec)}, Identities: []v1alpha1.Identity{{Name: "nine", Namespace: "b", Labels: map[string]string{"app": "app-9"}}}}}
	path := plan.Path{}
	path.Name, path.From, path.To.Service = "nine", "nine", v1alpha1.ServiceTarget{Namespace: "b", Name: "s", Port: 80, Protocol: "TCP"}
	p.Paths = []plan.Path{path}
	got := p.untested(w)
	if len(got) != 2 || got[0].What != "what b/p-007 denies on ingress" || got[1].What != "b/shut ingress[1]" {
		t.Errorf("got %+v", got)
	}
}

// A path by name needs answers from the name servers. A path of the suite that asks
// them speaks for it only if its cut stops the run.
func TestACutOfNamesIsPredictedUnlessAPathSpeaksForIt(t *testing.T) {
	for _, criticality := range []v1alpha1.Criticality{"", v1alpha1.CriticalityWarning} {
		w := crowd()
		w.policies = nil
		w.services, w.slices = map[types.NamespacedName]*corev1.Service{}, map[types.NamespacedName][]*discoveryv1.EndpointSlice{}
		serve := func(ns, name, pod, ip string, port int32, protocol corev1.Protocol) v1alpha1.ServiceTarget {
			w.verdict.Namespaces[ns] = nil
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: pod, Labels: map[string]string{"app": pod}}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip}}
			w.pods[types.NamespacedName{Namespace: ns, Name: pod}] = p
			key := types.NamespacedName{Namespace: ns, Name: name}
			w.services[key] = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: port, Protocol: protocol}}}}
			w.slices[key] = []*discoveryv1.EndpointSlice{{Ports: []discoveryv1.EndpointPort{{Port: &port, Name: ptr.To("")}},
				Endpoints: []discoveryv1.Endpoint{{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Namespace: ns, Name: pod}}}}}
			return v1alpha1.ServiceTarget{Namespace: ns, Name: name, Port: port, Protocol: string(protocol)}
		}
		web, names := plan.Path{}, plan.Path{}
		web.Name, web.From, web.Expect, web.To.Service = "web", "client", v1alpha1.ExpectAllow, serve("b", "web", "web-0", "10.1.0.1", 80, corev1.ProtocolTCP)
		names.Name, names.From, names.Expect, names.To.Service = "names", "client", v1alpha1.ExpectAllow, serve("kube-system", "kube-dns", "dns-0", "10.1.0.2", 53, corev1.ProtocolUDP)
		names.Probe.Type, names.Criticality = v1alpha1.ProbeDNS, criticality
		egress := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: ptr.To(intstr.FromInt32(80))}}}}}
		p := &Plan{Plan: plan.Plan{Run: "r-1", Candidates: []plan.Candidate{candidate("a", "web-only", "client", egress)}, Paths: []plan.Path{web, names},
			Identities: []v1alpha1.Identity{{Name: "client", Namespace: "a", Labels: map[string]string{"app": "client"}}}}}
		no := &refusal{}
		p.predict(w, p.prospect(w), &nobody, no)
		want := map[v1alpha1.Criticality]string{"": `path "names" would be cut`, v1alpha1.CriticalityWarning: `path "web" would be cut`}[criticality]
		if len(no.reasons) != 1 || !strings.Contains(no.reasons[0], want) {
			t.Errorf("names are %q: refused %q, want one reason, %s", criticality, no.reasons, want)
		}
	}
}
