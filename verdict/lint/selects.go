package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// drifting are labels whose values controllers choose anew for every revision or
// pod, so that a selector with one matches nothing after the next rollout.
var drifting = repair.Drifting

// selectsNothing finds policies that select no pod, in namespaces that have some.
// What manifests do not show may be there all the same, as pods that an operator
// makes: where no label looks misspelt, and no other namespace has such pods, it
// is only said which pods are not known (see unseen).
func selectsNothing(v *view) []draft {
	var drafts []draft
	var absent unseen
	for _, p := range v.policies {
		here := v.in(p.Namespace)
		if len(here) == 0 || len(v.selected(p)) > 0 || drifts(&p.Spec.PodSelector) != "" {
			continue
		}
		if d, ok := v.misselects(p, here); ok {
			drafts = append(drafts, d)
		} else if !v.operated(p.Namespace) { // a note says that such pods are not known
			absent.add(p, at("spec", "podSelector"), &p.Spec.PodSelector)
		}
	}
	return append(drafts, absent.drafts("selects", "select",
		"A policy without pods has no effect. Pods that an operator makes, that come at run time or that other files hold are not among what is checked.")...)
}

// misselects is about a policy that selects no pod where something tells that it
// was meant to: a label that pods have otherwise, pods of another namespace, or a
// cluster, which has all its pods.
func (v *view) misselects(p *policy, here []*class) (draft, bool) {
	d := draft{policy: p, at: at("spec", "podSelector"), severity: Warning}
	d.what = "The policy selects no pod, so it protects and isolates nothing."
	d.why = fmt.Sprintf("No pod in namespace %s matches %s; there are those of %s.", p.Namespace, metav1.FormatLabelSelector(&p.Spec.PodSelector), names(here))
	d.fix = "Write labels that the pods have, or delete the policy."
	if key, name := cronJob(&p.Spec.PodSelector, here); key != "" {
		d.at = d.at.plus("matchLabels", key)
		d.why, d.fix = cronJobText(name)
		return d, true
	}
	free, made := slices.DeleteFunc(slices.Clone(here), v.hasOwnPolicy), v.made(p.Namespace, &p.Spec.PodSelector)
	if m := v.meant(&p.Spec.PodSelector, free); m != nil {
		d.severity, d.fix, d.edit, d.isolates = proven(made), m.fix, m.edit(d.at), true
		d.at = m.at(d.at)
		return d, true
	}
	if elsewhere := v.elsewhere(&p.Spec.PodSelector, p.Namespace); len(elsewhere) > 0 {
		d.fix = fmt.Sprintf("A policy selects pods of its own namespace only. Pods like that are in %s: put the policy there.", some(elsewhere))
		if len(elsewhere) == 1 && v.freeName(elsewhere[0], p.Name) == p.Name { // else it would replace the one there
			field := at("metadata", "namespace")
			if p.root != nil {
				field = at("namespace")
			}
			d.edit, d.moves = set(field, text(elsewhere[0])), true
		}
		return d, true
	}
	near := nearestPods(&p.Spec.PodSelector, free)
	if near.class != nil {
		d.fix = near.String() + " " + d.fix
	}
	return d, !made && (near.meant() || p.live())
}

// hasOwnPolicy reports whether some policy selects the class and not the whole
// namespace: then no other one was meant for it.
func (v *view) hasOwnPolicy(c *class) bool {
	for _, policies := range v.isolated[c] {
		if slices.ContainsFunc(policies, func(p *policy) bool { return !everything(&p.Spec.PodSelector) }) {
			return true
		}
	}
	return false
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
				// No correction is written: with a narrower selector the policy isolates
				// the others no more.
				fix: fmt.Sprintf("Select %s and isolate the other pods by a policy of their own, or name this one after what it is for.", selectorText(v.tell(c).Labels)),
			})
			break
		}
	}
	return drafts
}
