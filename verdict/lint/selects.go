package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// drifting are labels whose values controllers choose anew for every revision or
// pod, so that a selector with one matches nothing after the next rollout.
var drifting = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
	"apps.kubernetes.io/pod-index", "controller-uid", "batch.kubernetes.io/controller-uid",
	"serving.knative.dev/revision", "serving.knative.dev/revisionUID", "serving.knative.dev/configurationGeneration",
	"serving.kserve.io/revision",
}

// proven is Error, unless pods that the input does not show may prove it wrong.
func proven(unseen string) Severity {
	if unseen != "" {
		return Warning
	}
	return Error
}

// selectsNothing finds policies that select no pod, in namespaces that have some.
func selectsNothing(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		here := v.in(p.Namespace)
		if len(here) == 0 || len(v.selected(p)) > 0 || drifts(&p.Spec.PodSelector) != "" {
			continue
		}
		meant := v.meant(&p.Spec.PodSelector, here)
		unseen := v.unseen(p.Namespace, &p.Spec.PodSelector)
		if meant == nil && unseen != "" {
			continue
		}
		d := draft{policy: p, at: at("spec", "podSelector"), severity: Warning}
		d.what = "The policy selects no pod, so it protects and isolates nothing."
		d.why = fmt.Sprintf("No pod in namespace %s matches %s; there are those of %s.", p.Namespace, metav1.FormatLabelSelector(&p.Spec.PodSelector), names(here))
		d.fix = "Write labels that the pods have, or delete the policy."
		if m := meant; m != nil {
			d.severity, d.fix, d.edit = proven(unseen), m.fix, m.edit(d.at)
			d.at = m.at(d.at)
		} else if elsewhere := v.elsewhere(&p.Spec.PodSelector, p.Namespace); len(elsewhere) > 0 {
			d.fix = fmt.Sprintf("A policy selects pods of its own namespace only. Pods like that are in %s: put the policy there.", some(elsewhere))
			if len(elsewhere) == 1 && v.freeName(elsewhere[0], p.Name) == p.Name { // else it would replace the one there
				field := at("metadata", "namespace")
				if p.root != nil {
					field = at("namespace")
				}
				d.edit, d.moves = set(field, text(elsewhere[0])), true
			}
		} else if near := v.nearestPods(&p.Spec.PodSelector, here); near != "" {
			d.fix = near + " " + d.fix
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func some(all []string) string {
	if more := len(all) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:3], ", "), more)
	}
	return strings.Join(all, ", ")
}

// elsewhere lists namespaces other than home with pods that the selector takes.
func (v *view) elsewhere(s *metav1.LabelSelector, home string) []string {
	var all []string
	for _, c := range v.classes {
		if c.Namespace != home && !slices.Contains(all, c.Namespace) && !everything(s) && v.selector(s).Matches(labels.Set(c.Labels)) {
			all = append(all, c.Namespace)
		}
	}
	return all
}

// meaning is what a selector that matches nothing was probably meant to say.
type meaning struct {
	key, value, newKey, newValue string
	fix                          string
}

func (m *meaning) at(selector path) path { return selector.plus("matchLabels", m.key) }

func (m *meaning) edit(selector path) edit {
	return edits(set(m.at(selector), text(m.newValue)), rename(m.at(selector), m.newKey))
}

// meant looks for the one label of the selector which, written as some pod here
// has it, would make the selector match.
func (v *view) meant(s *metav1.LabelSelector, here []*class) *meaning {
	var found []*meaning
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		value := s.MatchLabels[key]
		for _, m := range candidates(key, value, here) {
			if _, taken := s.MatchLabels[m.newKey]; taken && m.newKey != key {
				continue
			}
			tried := s.DeepCopy()
			delete(tried.MatchLabels, key)
			tried.MatchLabels[m.newKey] = m.newValue
			sel, err := metav1.LabelSelectorAsSelector(tried)
			if err == nil && slices.ContainsFunc(here, func(c *class) bool { return sel.Matches(labels.Set(c.Labels)) }) {
				found = append(found, m)
			}
		}
	}
	if len(found) != 1 {
		return nil
	}
	m := found[0]
	m.fix = fmt.Sprintf("Did you mean %s: %s, which pods here have?", m.newKey, m.newValue)
	return m
}

// candidates are labels of the classes that the given one may be a misspelling
// of: a near value under its key, or its value under another key.
func candidates(key, value string, here []*class) []*meaning {
	var values, keys []string
	for _, c := range here {
		for k, v := range c.Labels {
			if k == key && !slices.Contains(values, v) {
				values = append(values, v)
			}
			if k != key && v == value && sameNotion(k, key) && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	var all []*meaning
	if v, ok := nearest(value, values); ok {
		all = append(all, &meaning{key: key, value: value, newKey: key, newValue: v})
	}
	slices.Sort(keys)
	for _, k := range keys {
		all = append(all, &meaning{key: key, value: value, newKey: k, newValue: value})
	}
	if len(all) > 1 && len(values) == 0 { // several keys hold the value: the first is as good
		all = all[:1]
	}
	return all
}

// sameNotion reports whether two label keys commonly hold the same thing, the
// name of an application.
func sameNotion(a, b string) bool {
	name := []string{"app", "name", "k8s-app", "run", "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "component", "service"}
	_, ok := nearest(a, []string{b})
	return ok || slices.Contains(name, a) && slices.Contains(name, b)
}

// peerSelectsNothing finds peers that select no pod of namespaces that have some.
func peerSelectsNothing(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i := range r.peers {
				if apart(r, i) >= 0 {
					continue // read together: see peers-or-instead-of-and
				}
				if d, ok := v.emptyPeer(r, i); ok {
					drafts = append(drafts, d)
				}
			}
		}
	}
	return drafts
}

func (v *view) emptyPeer(r rule, i int) (draft, bool) {
	peer := &r.peers[i]
	if peer.IPBlock != nil {
		return draft{}, false
	}
	scope, known := v.scope(r.policy.Namespace, peer)
	d := draft{policy: r.policy, at: r.at(r.peersKey(), i), severity: Warning}
	if len(scope) == 0 {
		return v.unknownNamespace(r, i, known)
	}
	if peer.PodSelector == nil || drifts(peer.PodSelector) != "" || slices.ContainsFunc(scope, func(c *class) bool {
		return v.selector(peer.PodSelector).Matches(labels.Set(c.Labels))
	}) {
		return draft{}, false
	}
	meant, unseen := v.meant(peer.PodSelector, scope), v.unseenPeers(r.policy.Namespace, peer)
	elsewhere := v.elsewhere(peer.PodSelector, r.policy.Namespace)
	if peer.NamespaceSelector != nil {
		elsewhere = nil
	}
	if meant == nil && len(elsewhere) == 0 && unseen != "" {
		return draft{}, false
	}
	selector := d.at.plus("podSelector")
	d.at = selector
	d.what = fmt.Sprintf("The peer %s selects no pod, so the rule lets nobody %s there.", metav1.FormatLabelSelector(peer.PodSelector), map[networkingv1.PolicyType]string{egress: "out", ingress: "in"}[r.direction])
	d.why = fmt.Sprintf("It is looked for among the pods of %s.", names(scope))
	d.fix = "Write labels that the pods have, or delete the peer."
	if m := meant; m != nil {
		d.severity, d.at, d.fix, d.edit = proven(unseen), m.at(selector), m.fix, m.edit(selector)
	} else if len(elsewhere) > 0 {
		d.severity = proven(unseen)
		d.why = "Without namespaceSelector a podSelector selects in the policy's own namespace (NetworkPolicyPeer.podSelector), " + r.policy.Namespace + "; pods like that are in " + some(elsewhere) + "."
		d.fix = "Add a namespaceSelector to the same item."
		d.edit = set(r.at(r.peersKey(), i, "namespaceSelector"), anyOf(elsewhere))
	} else if near := v.nearestPods(peer.PodSelector, scope); near != "" {
		d.fix = near + " " + d.fix
	}
	return d, true
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

// drifts is the label of the selector whose values change by themselves; empty
// if there is none.
func drifts(s *metav1.LabelSelector) string {
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if slices.Contains(drifting, key) {
			return key
		}
	}
	return ""
}

// labelDrift finds selectors by labels that change with the next revision.
func labelDrift(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		p.selectors(func(where path, s *metav1.LabelSelector) {
			key := drifts(s)
			if key == "" || key == "statefulset.kubernetes.io/pod-name" || key == "apps.kubernetes.io/pod-index" {
				return // the last two name one pod for good
			}
			d := draft{policy: p, at: where.plus("matchLabels", key), severity: Warning}
			d.what = fmt.Sprintf("The selector has %s, whose value changes with the next revision of the pods.", key)
			d.why = "A controller chooses the value anew for every revision: the selector then matches none of the new pods, which are neither isolated nor let through."
			d.fix = "Select by labels that stay, such as app."
			if len(s.MatchLabels)+len(s.MatchExpressions) > 1 {
				d.edit = drop(d.at)
			}
			drafts = append(drafts, d)
		})
	}
	return drafts
}

// selectors calls f with every selector of pods in the policy.
func (p *policy) selectors(f func(where path, s *metav1.LabelSelector)) {
	f(at("spec", "podSelector"), &p.Spec.PodSelector)
	for _, r := range p.allRules() {
		for i := range r.peers {
			if s := r.peers[i].PodSelector; s != nil {
				f(r.at(r.peersKey(), i, "podSelector"), s)
			}
		}
	}
}

// selectsEverything finds policies that are named after one of several workloads
// of their namespace, have rules, and select all pods.
func selectsEverything(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		here := v.in(p.Namespace)
		if !everything(&p.Spec.PodSelector) || len(here) < 2 || len(p.Spec.Ingress)+len(p.Spec.Egress) == 0 {
			continue
		}
		for _, c := range here {
			if c.workload.Name != p.Name && c.Labels["app"] != p.Name && c.Labels["app.kubernetes.io/name"] != p.Name || len(c.identity()) == 0 {
				continue
			}
			drafts = append(drafts, draft{
				policy: p, at: at("spec", "podSelector"), severity: Warning,
				what: fmt.Sprintf("The policy is named after %s and selects every pod of its namespace.", c.name()),
				why:  fmt.Sprintf("An empty podSelector selects all pods (NetworkPolicySpec.podSelector): its rules open the same for %s.", names(here)),
				fix:  fmt.Sprintf("Select %s, or name the policy after what it is for.", selectorText(c.identity())),
				edit: set(at("spec", "podSelector"), labelsNode(c.identity())),
			})
			break
		}
	}
	return drafts
}
