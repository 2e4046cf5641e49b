package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Addition is a rule to add to a policy, or a whole policy to add.
type Addition struct {
	Policy string `json:"policy"` // namespace/name
	New    bool   `json:"new"`    // the policy is not there yet
	Field  string `json:"field"`  // spec.egress or spec.ingress; empty for a new policy
	Where  string `json:"where"`  // file:line of the policy; empty for a new one, and a cluster's
	YAML   string `json:"yaml"`   // the list item, or the whole policy

	spec verdict.Policy // as it then is
}

// next says what to do, and what to add. Suggestions are judged: one that does
// not allow the connection is not made.
func (x *explainer) next() (string, []Addition) {
	switch x.verdict.Decision {
	case verdict.Allow:
		return "Nothing needs to be done. To close it, take the rule away that lets it through, or add a policy for the pod where there is none.", []Addition{}
	case verdict.Unknown:
		return "The policies alone do not tell. Ask the cluster itself: connect from the pod, or roll out with a path that says what must work.", []Addition{}
	}
	additions := []Addition{}
	w := x.set.World
	for _, d := range []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress} {
		side := x.verdict.Egress
		if d == networkingv1.PolicyTypeIngress {
			side = x.verdict.Ingress
		}
		if side.Decision != verdict.Deny {
			continue
		}
		a, ok := x.addition(d, side)
		if !ok {
			return fmt.Sprintf("Only the policy %s can change this; a NetworkPolicy that allows it has no say before it.", side.Policy), []Addition{}
		}
		additions = append(additions, a)
		w.Policies = slices.DeleteFunc(slices.Clone(w.Policies), func(p verdict.Policy) bool { return p.Key() == a.Policy })
		w.Policies = append(w.Policies, a.spec)
	}
	if v := verdict.Compile(w, x.set.Pods).Judge(x.conn); v.Decision != verdict.Allow {
		return fmt.Sprintf("A rule for it would not be enough: %s.", v.Reason), []Addition{}
	}
	if len(additions) == 1 {
		return "If it should be allowed, this is enough:", additions
	}
	return "If it should be allowed, both of these are needed, because each end has policies of its own:", additions
}

// addition is the rule that is missing, in the policy that is about this
// workload; where only policies about everything cover it, a policy of its own.
func (x *explainer) addition(d networkingv1.PolicyType, s verdict.Side) (Addition, bool) {
	i := slices.IndexFunc(x.set.World.Policies, func(p verdict.Policy) bool { return p.Key() == s.Policy })
	if i < 0 {
		return Addition{}, false
	}
	p := x.set.World.Policies[i]
	p.Spec = *p.Spec.DeepCopy()
	subject, peer := x.conn.From, x.conn.To
	if d == networkingv1.PolicyTypeIngress {
		subject, peer = peer, subject
	}
	if len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) > 0 {
		a := Addition{Policy: p.Key(), Field: "spec." + strings.ToLower(string(d)), Where: x.set.Where("NetworkPolicy", p.Namespace, p.Name, "spec."+strings.ToLower(string(d))).String()}
		a.YAML = x.add(&p, d, peer, subject)
		a.spec = p
		return a, true
	}
	labels := x.telling(subject.Pod)
	name := fmt.Sprintf("%s-%d-%s", or(first(labels), "pods"), x.conn.Port, strings.ToLower(string(d)))
	own := verdict.Policy{Namespace: subject.Pod.Namespace, Name: name, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: labels}, PolicyTypes: []networkingv1.PolicyType{d},
	}}
	x.add(&own, d, peer, subject)
	object := map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": map[string]string{"namespace": own.Namespace, "name": own.Name}, "spec": own.Spec}
	return Addition{Policy: own.Key(), New: true, YAML: document(object), spec: own}, true
}

// add appends the rule to the policy and returns it as a list item.
func (x *explainer) add(p *verdict.Policy, d networkingv1.PolicyType, peer, subject verdict.End) string {
	port, protocol := intstr.FromInt32(x.conn.Port), x.conn.Protocol
	peers := []networkingv1.NetworkPolicyPeer{x.peer(peer, subject)}
	ports := []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &port}}
	if d == networkingv1.PolicyTypeEgress {
		r := networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports}
		p.Spec.Egress = append(p.Spec.Egress, r)
		return marshalled(r)
	}
	r := networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports}
	p.Spec.Ingress = append(p.Spec.Ingress, r)
	return marshalled(r)
}

func (x *explainer) peer(e, from verdict.End) networkingv1.NetworkPolicyPeer {
	if e.Pod == nil {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(e.IP, e.IP.BitLen()).String()}}
	}
	p := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: x.telling(e.Pod)}}
	if from.Pod == nil || from.Pod.Namespace != e.Pod.Namespace {
		p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": e.Pod.Namespace}}
	}
	return p
}

// nameLabels are the keys by which workloads are usually told apart.
var nameLabels = []string{"app.kubernetes.io/name", "app", "k8s-app", "name"}

// telling are the labels to select a pod by: the usual one, else all that its
// controller does not change.
func (x *explainer) telling(p *verdict.Pod) map[string]string {
	for _, key := range nameLabels {
		if value, ok := p.Labels[key]; ok {
			return map[string]string{key: value}
		}
	}
	all := map[string]string{}
	for key, value := range p.Labels {
		all[key] = value
	}
	for _, w := range x.set.Workloads {
		if slices.ContainsFunc(w.Pods, func(i int) bool { return x.set.Pods[i].Key() == p.Key() }) {
			for _, key := range w.Unfixed {
				delete(all, key)
			}
		}
	}
	delete(all, "pod-template-hash")
	return all
}

func first(labels map[string]string) string {
	for _, key := range nameLabels {
		if value := labels[key]; value != "" {
			return strings.ToLower(value)
		}
	}
	return ""
}
