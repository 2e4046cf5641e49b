package main

import (
	"cmp"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// objects are the policies as the baseline takes them: defaulted, because it
// refuses a policy without policyTypes.
func objects(w verdict.World) []*networkingv1.NetworkPolicy {
	var all []*networkingv1.NetworkPolicy
	for _, p := range w.Policies {
		all = append(all, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}, Spec: verdict.Defaulted(p.Spec)})
	}
	return all
}

// compileBaseline does all that the baseline does ahead of a question.
func compileBaseline(all []*networkingv1.NetworkPolicy) *matcher.Policy {
	return matcher.BuildNetworkPolicies(true, all)
}

// traffic is a question as the baseline takes it. It knows one name for a port,
// which it does not look up itself.
func traffic(w verdict.World, q question, pods []verdict.Pod) *matcher.Traffic {
	protocol := cmp.Or(q.protocol, corev1.ProtocolTCP)
	t := &matcher.Traffic{
		Source: trafficPeer(w, pods[q.from]), Destination: trafficPeer(w, pods[q.to]),
		ResolvedPort: int(q.port), Protocol: protocol,
	}
	for _, p := range pods[q.to].Ports {
		if p.Number == q.port && cmp.Or(p.Protocol, corev1.ProtocolTCP) == protocol {
			t.ResolvedPortName = p.Name
		}
	}
	return t
}

func trafficPeer(w verdict.World, p verdict.Pod) *matcher.TrafficPeer {
	labels := map[string]string{corev1.LabelMetadataName: p.Namespace}
	for k, v := range w.Namespaces[p.Namespace] {
		labels[k] = v
	}
	return &matcher.TrafficPeer{
		Internal: &matcher.InternalPeer{PodLabels: p.Labels, Namespace: p.Namespace, NamespaceLabels: labels},
		IP:       p.IPs[0].String(),
	}
}

// difference says why the two say something else about a question, by what each
// of them is known to read otherwise; empty: they say the same.
func difference(ours verdict.Decision, theirs bool, from, to verdict.Pod) string {
	switch {
	case ours == verdict.Allow && theirs, ours == verdict.Deny && !theirs:
		return ""
	case ours == verdict.Unknown && (from.HostNetwork || to.HostNetwork):
		return "host-network pods, which v1 leaves undefined: Unknown to us, judged by labels by the baseline"
	case ours == verdict.Allow && from.Key() == to.Key():
		return "a pod to itself, which nothing can block: the baseline does not know"
	}
	return unexplained
}

const unexplained = "not explained"
