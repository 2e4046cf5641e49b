package lint

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// peerSelectsNothing finds peers that select no pod of namespaces that have some.
// As with policies, without a sign of a mistake it is only said who is not known.
func peerSelectsNothing(v *view) []draft {
	var drafts []draft
	var absent unseen
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i := range r.peers {
				if apart(r, i) >= 0 || r.peers[i].IPBlock != nil {
					continue // read together: see peers-or-instead-of-and
				}
				if d, ok := v.emptyPeer(r, i); ok {
					drafts = append(drafts, d)
				} else if v.unseenPeer(r, i) && !v.unseenOwn(p, r.peers[i]) && !v.operatedPeer(p.Namespace, &r.peers[i]) {
					absent.add(p, r.at(r.peersKey(), i, "podSelector"), r.peers[i].PodSelector)
				}
			}
		}
	}
	return append(drafts, absent.drafts("lets in or out", "let in or out",
		"A rule lets pods through once they are there. Pods that an operator makes, that come at run time or that other files hold are not among what is checked.")...)
}

// emptyPeer is about a peer that selects no pod where something tells that it was
// meant to.
func (v *view) emptyPeer(r rule, i int) (draft, bool) {
	peer := &r.peers[i]
	scope, known := v.scope(r.policy.Namespace, peer)
	if len(scope) == 0 {
		return v.unknownNamespace(r, i, known)
	}
	if !v.nobody(peer, scope) {
		return draft{}, false
	}
	selector := r.at(r.peersKey(), i, "podSelector")
	d := draft{policy: r.policy, at: selector, severity: Warning}
	d.what = fmt.Sprintf("The peer %s selects no pod, so the rule lets nobody %s there.", metav1.FormatLabelSelector(peer.PodSelector), map[networkingv1.PolicyType]string{egress: "out", ingress: "in"}[r.direction])
	d.why = fmt.Sprintf("It is looked for among the pods of %s.", names(scope))
	d.fix = "Write labels that the pods have, or delete the peer."
	if key, name := cronJob(peer.PodSelector, scope); key != "" {
		d.at = selector.plus("matchLabels", key)
		d.why, d.fix = cronJobText(name)
		return d, true
	}
	free := slices.DeleteFunc(slices.Clone(scope), func(c *class) bool { return v.names(r.policy, c) })
	made := v.madePeer(r.policy.Namespace, peer)
	if m := v.meant(peer.PodSelector, free); m != nil {
		d.severity, d.at, d.fix, d.edit = proven(made), m.at(selector), m.fix, m.edit(selector)
		return d, true
	}
	if elsewhere := v.elsewhere(peer.PodSelector, r.policy.Namespace); peer.NamespaceSelector == nil && len(elsewhere) > 0 {
		if r.policy.live() { // else the namespace may have such pods in other files
			d.severity = proven(made)
		}
		d.why = "Without namespaceSelector a podSelector selects in the policy's own namespace (NetworkPolicyPeer.podSelector), " + r.policy.Namespace + "; pods like that are in " + some(elsewhere) + "."
		d.fix = "Add a namespaceSelector to the same item."
		d.edit = set(r.at(r.peersKey(), i, "namespaceSelector"), anyOf(elsewhere))
		return d, true
	}
	near := nearestPods(peer.PodSelector, slices.DeleteFunc(free, v.hasOwnPolicy))
	if near.class != nil {
		d.fix = near.String() + " " + d.fix
	}
	return d, !made && (near.meant() || r.policy.live())
}

// nobody reports whether the peer selects none of the classes, by labels that stay.
func (v *view) nobody(peer *networkingv1.NetworkPolicyPeer, scope []*class) bool {
	return peer.PodSelector != nil && drifts(peer.PodSelector) == "" && !slices.ContainsFunc(scope, func(c *class) bool {
		return v.selector(peer.PodSelector).Matches(labels.Set(c.Labels))
	})
}

// unseenPeer reports whether the peer is for pods that are to be in namespaces of
// the input and are not. Of a peer for namespaces by their labels nobody knows
// which there are.
func (v *view) unseenPeer(r rule, i int) bool {
	peer := &r.peers[i]
	scope, _ := v.scope(r.policy.Namespace, peer)
	return len(scope) > 0 && v.nobody(peer, scope) && (peer.NamespaceSelector == nil || peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] != "")
}

// unseenOwn reports whether a policy of the peer's namespace is for the pods of a
// peer: that they are not in the input is then said of that policy.
func (v *view) unseenOwn(p *policy, peer networkingv1.NetworkPolicyPeer) bool {
	home := p.Namespace
	if peer.NamespaceSelector != nil {
		home = peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
	}
	return slices.ContainsFunc(v.idle[home], func(o *policy) bool { return narrower(&o.Spec.PodSelector, peer.PodSelector) })
}

// narrower reports whether pods of the first selector have all labels that the
// second one asks for.
func narrower(a, b *metav1.LabelSelector) bool {
	if len(b.MatchExpressions) > 0 {
		return metav1.FormatLabelSelector(a) == metav1.FormatLabelSelector(b)
	}
	for k, value := range b.MatchLabels {
		if own, ok := a.MatchLabels[k]; !ok || own != value {
			return false
		}
	}
	return true
}

// names reports whether the policy already has the class, as one of its own pods
// or by another peer: then a peer that selects nothing was not meant for it.
func (v *view) names(p *policy, c *class) bool {
	if p.Namespace == c.Namespace && !everything(&p.Spec.PodSelector) && v.selector(&p.Spec.PodSelector).Matches(labels.Set(c.Labels)) {
		return true
	}
	for _, r := range p.allRules() {
		for i := range r.peers {
			if peer := &r.peers[i]; peer.PodSelector != nil && !everything(peer.PodSelector) {
				if ok, _ := v.takes(p.Namespace, peer, c); ok {
					return true
				}
			}
		}
	}
	return false
}

// scope lists the classes of the namespaces that the peer looks in, and whether
// they are known to be all of those namespaces.
func (v *view) scope(home string, peer *networkingv1.NetworkPolicyPeer) (scope []*class, known bool) {
	known = true
	wide := networkingv1.NetworkPolicyPeer{NamespaceSelector: peer.NamespaceSelector, PodSelector: &metav1.LabelSelector{}}
	for _, c := range v.classes {
		ok, certain := v.takes(home, &wide, c)
		if known = known && certain; ok {
			scope = append(scope, c)
		}
	}
	return scope, known
}

// unknownNamespace finds a namespaceSelector by name with a misspelt name. A
// name that is like no other may be that of a namespace that is not in the set.
func (v *view) unknownNamespace(r rule, i int, known bool) (draft, bool) {
	peer := &r.peers[i]
	if peer.NamespaceSelector == nil || !known {
		return draft{}, false
	}
	if d, ok := v.namedByLabel(r, i); ok {
		return d, true
	}
	name := peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
	all := slices.Collect(maps.Keys(v.world.Namespaces))
	for _, c := range v.classes {
		if !slices.Contains(all, c.Namespace) {
			all = append(all, c.Namespace)
		}
	}
	meant, ok := nearest(name, all)
	if name == "" || slices.Contains(all, name) || slices.Contains([]string{"default", "kube-system", "kube-public", "kube-node-lease"}, name) || !ok {
		return draft{}, false
	}
	field := r.at(r.peersKey(), i, "namespaceSelector", "matchLabels", corev1.LabelMetadataName)
	return draft{
		policy: r.policy, at: field, severity: Warning,
		what: fmt.Sprintf("No namespace is named %s, so the rule lets nobody in or out there.", name),
		why:  fmt.Sprintf("What is checked holds %s, and nothing in namespace %s.", meant, name),
		fix:  fmt.Sprintf("Did you mean %s?", meant),
		edit: set(field, text(meant)),
	}, true
}

// namedByLabel finds a namespaceSelector for a namespace's name in a label that the
// namespace does not have: the API server sets kubernetes.io/metadata.name only.
func (v *view) namedByLabel(r rule, i int) (draft, bool) {
	asked := r.peers[i].NamespaceSelector.MatchLabels
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		own, declared := v.world.Namespaces[asked[key]]
		_, has := own[key]
		if key == corev1.LabelMetadataName || !declared || has || slices.Contains(v.set.Undeclared, asked[key]) {
			continue
		}
		field := r.at(r.peersKey(), i, "namespaceSelector", "matchLabels", key)
		return draft{
			policy: r.policy, at: field, severity: Warning,
			what: fmt.Sprintf("No namespace has the label %s: %s, so the rule lets nobody in or out there.", key, asked[key]),
			why:  fmt.Sprintf("Namespace %s is in the input without that label. The API server labels each namespace with its name as %s, and with nothing else.", asked[key], corev1.LabelMetadataName),
			fix:  fmt.Sprintf("Did you mean %s: %s?", corev1.LabelMetadataName, asked[key]),
			edit: rename(field, corev1.LabelMetadataName),
		}, true
	}
	return draft{}, false
}

// anyOf selects namespaces by name.
func anyOf(namespaces []string) *yaml.Node {
	if len(namespaces) == 1 {
		return namespaceNode(namespaces[0])
	}
	values := list()
	for _, n := range namespaces {
		values.Content = append(values.Content, text(n))
	}
	return object("matchExpressions", list(object("key", text(corev1.LabelMetadataName), "operator", text("In"), "values", values)))
}
