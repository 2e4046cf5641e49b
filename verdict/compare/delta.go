package compare

import (
	"reflect"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// delta is what differs between two worlds.
type delta struct {
	// policies by namespace: old and new form of those that are not the same.
	policies map[string][]verdict.Policy
	// all says that something differs which may touch any pod: labels of
	// namespaces, policies of other kinds, nodes.
	all bool
}

// touch is how a difference may reach a pod.
type touch struct {
	egress, ingress bool // a policy that isolates it there differs
	peer            bool // the pod itself differs, so whoever has it as a peer is touched
}

func newDelta(before, after verdict.World) delta {
	d := delta{
		policies: map[string][]verdict.Policy{},
		all: !reflect.DeepEqual(before.Namespaces, after.Namespaces) || !reflect.DeepEqual(before.ClusterPolicies, after.ClusterPolicies) ||
			!reflect.DeepEqual(before.Foreign, after.Foreign) || !reflect.DeepEqual(before.Nodes, after.Nodes),
	}
	d.add(before, after)
	d.add(after, before)
	return d
}

// add takes the policies of one world that the other does not have alike.
func (d delta) add(w, other verdict.World) {
	has := map[string]verdict.Policy{}
	for _, p := range other.Policies {
		has[p.Key()] = p
	}
	for _, p := range w.Policies {
		if q, ok := has[p.Key()]; !ok || !reflect.DeepEqual(p.Spec, q.Spec) {
			d.policies[p.Namespace] = append(d.policies[p.Namespace], p)
		}
	}
}

func (d delta) touches(v *class.Vocabulary, m class.Member) touch {
	if d.all || m.Was != m.Is && v.Signature(m.Was) != v.Signature(m.Is) || m.Was.Node != m.Is.Node {
		return touch{egress: true, ingress: true, peer: true}
	}
	var t touch
	for _, p := range d.policies[m.Is.Namespace] {
		t.egress = t.egress || m.MayIsolate(p, networkingv1.PolicyTypeEgress)
		t.ingress = t.ingress || m.MayIsolate(p, networkingv1.PolicyTypeIngress)
	}
	return t
}
