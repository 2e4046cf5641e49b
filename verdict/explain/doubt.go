package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// doubt is a rule that may or may not allow the connection, and what the input
// would have to say.
type doubt struct {
	policy verdict.Policy
	rule   int
	why    string
	state  string // what to state, with the flag
}

// doubts looks for the rules of the policies that leave the connection open.
func (x *explainer) doubts(isolating []verdict.Policy, d networkingv1.PolicyType) []doubt {
	var all []doubt
	for _, p := range isolating {
		for i := range rulesIn(p.Spec, d) {
			if x.decides(only(p, d, i, true, true), d) != verdict.Unknown {
				continue
			}
			one := doubt{policy: p, rule: i}
			for j, peer := range peersIn(p.Spec, d, i) {
				if x.decides(withPeer(p, d, i, j), d) == verdict.Unknown {
					one.why, one.state = x.missing(peer, d)
					break
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// missing says what the input does not show of the other end, and with which flag
// to state it; empty where it is something else.
func (x *explainer) missing(peer networkingv1.NetworkPolicyPeer, d networkingv1.PolicyType) (why, state string) {
	other := x.conn.To
	if d == networkingv1.PolicyTypeIngress {
		other = x.conn.From
	}
	switch pod := other.Pod; {
	case pod == nil:
	case peer.IPBlock != nil && len(pod.IPs) == 0 && pod.HostNetwork:
		return fmt.Sprintf("the address of its node, which %s has, is not in the input", other), "Add the pods with their addresses: kubectl get pods -A -o yaml."
	case peer.IPBlock != nil && len(pod.IPs) == 0 && len(pod.StandIns) > 0:
		return fmt.Sprintf("it covers a part of --pod-cidr, and which address %s has is not in the input", other), "Add the pods with their addresses: kubectl get pods -A -o yaml."
	case peer.IPBlock != nil && len(pod.IPs) == 0:
		return fmt.Sprintf("the address of %s is not in the input", other), "State where pods have their addresses, such as --pod-cidr 10.244.0.0/16, or add the pods with theirs: kubectl get pods -A -o yaml."
	case peer.NamespaceSelector != nil:
		if _, known := x.set.World.Namespaces[pod.Namespace]; !known {
			label := firstLabel(peer.NamespaceSelector)
			return fmt.Sprintf("whether namespace %s has the label %s is not in the input", pod.Namespace, label),
				fmt.Sprintf("State it, if the namespace has it: --namespace-label %s=%s. Or add the Namespace with its labels.", pod.Namespace, label)
		}
	}
	return "", ""
}

// nodeMissing reports whether the other end may be the pod's own node, of which the
// input does not show which it is.
func (x *explainer) nodeMissing(d networkingv1.PolicyType) bool {
	subject, other := x.conn.From, x.conn.To
	if d == networkingv1.PolicyTypeIngress {
		subject, other = other, subject
	}
	if other.Pod == nil {
		return other.Node != "" && subject.Pod.Node == ""
	}
	return other.Pod.HostNetwork && (other.Pod.Node == "" || subject.Pod.Node == "")
}

// firstLabel is a label that the selector asks for, as KEY=VALUE.
func firstLabel(s *metav1.LabelSelector) string {
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if key != corev1.LabelMetadataName {
			return key + "=" + s.MatchLabels[key]
		}
	}
	if len(s.MatchExpressions) == 0 {
		return metav1.FormatLabelSelector(s)
	}
	e := s.MatchExpressions[0]
	return e.Key + "=" + strings.Join(e.Values[:min(1, len(e.Values))], "")
}

// unknown tells which rule leaves it open, and why.
func (x *explainer) unknown(side *Side, d networkingv1.PolicyType, s verdict.Side, isolating []verdict.Policy) {
	if x.nodeMissing(d) {
		x.states = append(x.states, "Add the pods with their nodes, as the cluster has them: kubectl get pods -A -o yaml.")
	}
	if x.through != "" && d == networkingv1.PolicyTypeIngress {
		x.states = append(x.states, x.stateSource())
	}
	all := x.doubts(isolating, d)
	if len(all) == 0 || all[0].why == "" {
		side.Text = fmt.Sprintf("It is not known what happens here: %s.", s.Reason)
		if len(isolating) > 0 {
			side.Text = x.covered(d, isolating) + " " + side.Text
		}
		return
	}
	first := all[0]
	side.Text = x.covered(d, isolating) + fmt.Sprintf(" No rule certainly allows this. Rule %s of %s may: it is for %s, and %s.",
		field(d, first.rule), first.policy.Key(), peersOf(first.policy.Spec, d, first.rule), first.why)
	for _, one := range all {
		if one.state != "" && !slices.Contains(x.states, one.state) {
			x.states = append(x.states, one.state)
		}
	}
	side.show(x, first.policy.Key(), d, first.rule)
}

// privateRanges are the networks of RFC 1918, where most clusters have their pods.
var privateRanges = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}

// guess says in which private networks the answer is the same at every address of the
// pods that have none in the input; empty where there is no such network.
func (x *explainer) guess() string {
	in := map[verdict.Decision][]string{}
	for _, network := range privateRanges {
		c, missing := x.conn, false
		standIns := x.set.StandIns([]netip.Prefix{netip.MustParsePrefix(network)})
		for _, end := range []*verdict.End{&c.From, &c.To} {
			if end.Pod != nil && len(end.Pod.Addresses()) == 0 && !end.Pod.HostNetwork {
				pod := *end.Pod
				pod.StandIns, end.Pod, missing = standIns, &pod, true
			}
		}
		if !missing {
			return ""
		}
		v := x.judge(c).Decision
		in[v] = append(in[v], network)
	}
	if all := in[verdict.Unknown]; len(all) == len(privateRanges) {
		return ""
	} else if len(all) == 0 && (len(in[verdict.Allow]) == 0 || len(in[verdict.Deny]) == 0) {
		return fmt.Sprintf("With pods in any private network (%s) the answer is %s.", strings.Join(privateRanges, ", "), map[bool]string{true: "Yes", false: "No"}[len(in[verdict.Allow]) > 0])
	}
	var parts []string
	for _, d := range []verdict.Decision{verdict.Allow, verdict.Deny, verdict.Unknown} {
		if len(in[d]) > 0 {
			parts = append(parts, fmt.Sprintf(map[verdict.Decision]string{
				verdict.Allow: "with pods in %s the answer is Yes", verdict.Deny: "with pods in %s the answer is No", verdict.Unknown: "with pods in %s it depends on their addresses",
			}[d], strings.Join(in[d], " or ")))
		}
	}
	return capital(strings.Join(parts, "; ")) + "."
}
