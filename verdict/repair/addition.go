package repair

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// addition is the rule that is missing, in the policy that is about this workload
// alone. Where the policy selects other pods too, or belongs to somebody else, a
// policy of its own. It says why where neither can be for this workload.
func (o Options) addition(w verdict.World, c verdict.Conn, d networkingv1.PolicyType, s verdict.Side) (Addition, string) {
	subject, peer := c.From, c.To
	if d == networkingv1.PolicyTypeIngress {
		subject, peer = peer, subject
	}
	others := o.tell(peer.Pod)
	if peer.Pod != nil && len(others.Labels) == 0 {
		return Addition{}, o.unlabelled(peer.Pod)
	}
	blamed := o.blamed(w, c, d, s)
	i := slices.IndexFunc(w.Policies, func(p verdict.Policy) bool { return p.Key() == blamed })
	own := o.tell(subject.Pod)
	if i >= 0 && o.into(w, w.Policies[i], d, subject.Pod, own) {
		p := w.Policies[i]
		a := Addition{Policy: p.Key(), Direction: d, Spec: *p.Spec.DeepCopy()}
		a.YAML = allow(&a.Spec, c, d, peerOf(peer, subject, others.Labels))
		return a, ""
	}
	switch cut := o.open(w, d, own.Also); {
	case len(own.Labels) == 0:
		return Addition{}, o.unlabelled(subject.Pod)
	case len(cut) > 0:
		return Addition{}, fmt.Sprintf("No label tells %s from %s, and a policy that selects both would isolate those for %s: give its pods a label of their own.",
			subject, brief(keys(cut)), strings.ToLower(string(d)))
	}
	a := Addition{New: true, Direction: d, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: own.Labels}, PolicyTypes: []networkingv1.PolicyType{d},
	}}
	name := free(w, subject.Pod.Namespace, newName(own.Labels, c, d))
	a.Policy = subject.Pod.Namespace + "/" + name
	allow(&a.Spec, c, d, peerOf(peer, subject, others.Labels))
	a.YAML = o.whole(subject.Pod.Namespace, name, a.Spec)
	return a, ""
}

// into reports whether the rule goes into the policy: it selects by labels, and
// no more pods than a new policy could.
func (o Options) into(w verdict.World, p verdict.Policy, d networkingv1.PolicyType, subject *verdict.Pod, own Told) bool {
	if len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0 {
		return false
	}
	n := 0
	for _, q := range o.others(subject) {
		if ok, err := p.Isolates(*q, d); ok || err != nil {
			n++
		}
	}
	return n == 0 || n <= len(own.Also) || len(own.Labels) == 0 || len(o.open(w, d, own.Also)) > 0
}

// open are the pods of these that no policy isolates in the direction.
func (o Options) open(w verdict.World, d networkingv1.PolicyType, pods []*verdict.Pod) []*verdict.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *verdict.Pod) bool {
		return slices.ContainsFunc(w.Policies, func(p verdict.Policy) bool {
			ok, err := p.Isolates(*pod, d)
			return ok && err == nil
		})
	})
}

// blamed is the policy to look at first among those that may be changed; empty
// where none of them isolates the pod.
func (o Options) blamed(w verdict.World, c verdict.Conn, d networkingv1.PolicyType, s verdict.Side) string {
	if o.Own(s.Policy) {
		return s.Policy
	}
	w.Policies = slices.DeleteFunc(slices.Clone(w.Policies), func(p verdict.Policy) bool { return !o.Own(p.Key()) })
	return sideOf(verdict.Compile(w, nil).Judge(c), d).Policy
}

// newName says what the policy is for: the workload, by the one or two labels that
// tell most, the port, the direction.
func newName(labels map[string]string, c verdict.Conn, d networkingv1.PolicyType) string {
	var words []string
	for _, key := range inOrder(labels) {
		if value := labels[key]; value != "" && len(words) < 2 && !slices.Contains(words, value) {
			words = append(words, value)
		}
	}
	name := cmp.Or(strings.ToLower(strings.ReplaceAll(strings.Join(words, "-"), "_", "-")), "pods")
	name += fmt.Sprintf("-%d", c.Port)
	if p := cmp.Or(c.Protocol, corev1.ProtocolTCP); p != corev1.ProtocolTCP {
		name += "-" + strings.ToLower(string(p))
	}
	return name + "-" + strings.ToLower(string(d))
}

// free is the name, or one like it that no policy of the namespace has.
func free(w verdict.World, namespace, name string) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(w.Policies, func(p verdict.Policy) bool { return p.Namespace == namespace && p.Name == name })
	}
	for n, base := 2, name; taken(name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// allow appends the rule to the spec and returns it as a list item.
func allow(spec *networkingv1.NetworkPolicySpec, c verdict.Conn, d networkingv1.PolicyType, peer networkingv1.NetworkPolicyPeer) string {
	port, protocol := intstr.FromInt32(c.Port), cmp.Or(c.Protocol, corev1.ProtocolTCP)
	peers := []networkingv1.NetworkPolicyPeer{peer}
	ports := []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &port}}
	if d == networkingv1.PolicyTypeEgress {
		r := networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports}
		spec.Egress = append(spec.Egress, r)
		return Item(r)
	}
	r := networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports}
	spec.Ingress = append(spec.Ingress, r)
	return Item(r)
}

// peerOf selects the end by its labels, as seen from a policy for the other one;
// an address by itself.
func peerOf(e, from verdict.End, labels map[string]string) networkingv1.NetworkPolicyPeer {
	if e.Pod == nil {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(e.IP, e.IP.BitLen()).String()}}
	}
	p := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: labels}}
	if from.Pod == nil || from.Pod.Namespace != e.Pod.Namespace {
		p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: e.Pod.Namespace}}
	}
	return p
}

// whole is a new policy, for a file or for a rollout.
func (o Options) whole(namespace, name string, spec networkingv1.NetworkPolicySpec) string {
	if o.Inline {
		return list(map[string]any{"namespace": namespace, "name": name, "spec": spec})
	}
	return document(map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": map[string]string{"namespace": namespace, "name": name}, "spec": spec})
}
