package repair

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// addition is the rule that is missing, in the policy that is about this
// workload; where only policies about everything cover it, or those of others, a
// policy of its own.
func (o Options) addition(w verdict.World, c verdict.Conn, d networkingv1.PolicyType, s verdict.Side) Addition {
	subject, peer := c.From, c.To
	if d == networkingv1.PolicyTypeIngress {
		subject, peer = peer, subject
	}
	i := slices.IndexFunc(w.Policies, func(p verdict.Policy) bool { return p.Key() == o.blamed(w, c, d, s) })
	if i >= 0 && len(w.Policies[i].Spec.PodSelector.MatchLabels)+len(w.Policies[i].Spec.PodSelector.MatchExpressions) > 0 {
		p := w.Policies[i]
		a := Addition{Policy: p.Key(), Direction: d, Spec: *p.Spec.DeepCopy()}
		a.YAML = o.allow(&a.Spec, c, d, peer, subject)
		return a
	}
	labels := o.Labels(subject.Pod)
	a := Addition{New: true, Direction: d, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: labels}, PolicyTypes: []networkingv1.PolicyType{d},
	}}
	name := free(w, subject.Pod.Namespace, newName(labels, c, d))
	a.Policy = subject.Pod.Namespace + "/" + name
	o.allow(&a.Spec, c, d, peer, subject)
	a.YAML = o.whole(subject.Pod.Namespace, name, a.Spec)
	return a
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

// newName says what the policy is for: the workload, the port, the direction.
func newName(labels map[string]string, c verdict.Conn, d networkingv1.PolicyType) string {
	name := "pods"
	for _, key := range nameLabels {
		if value := labels[key]; value != "" {
			name = strings.ToLower(strings.ReplaceAll(value, "_", "-"))
			break
		}
	}
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
func (o Options) allow(spec *networkingv1.NetworkPolicySpec, c verdict.Conn, d networkingv1.PolicyType, peer, subject verdict.End) string {
	port, protocol := intstr.FromInt32(c.Port), cmp.Or(c.Protocol, corev1.ProtocolTCP)
	peers := []networkingv1.NetworkPolicyPeer{o.peer(peer, subject)}
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

func (o Options) peer(e, from verdict.End) networkingv1.NetworkPolicyPeer {
	if e.Pod == nil {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(e.IP, e.IP.BitLen()).String()}}
	}
	p := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: o.Labels(e.Pod)}}
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

// nameLabels are the keys by which workloads are usually told apart.
var nameLabels = []string{"app.kubernetes.io/name", "app", "k8s-app", "name"}

// Telling are the labels to select a pod by: the usual one, else all but those of
// the given keys and the hash of its ReplicaSet.
func Telling(p *verdict.Pod, unfixed ...string) map[string]string {
	for _, key := range nameLabels {
		if value, ok := p.Labels[key]; ok {
			return map[string]string{key: value}
		}
	}
	all := maps.Clone(p.Labels)
	for _, key := range append(unfixed, "pod-template-hash") {
		delete(all, key)
	}
	return all
}
