package lint

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// apart is the item beside the given one that it was split from: one has only a
// namespaceSelector, the other only a podSelector. -1 if there is none.
func apart(r rule, i int) int {
	alone := func(i int) string {
		switch p := r.peers[i]; {
		case p.NamespaceSelector != nil && p.PodSelector == nil && !everything(p.NamespaceSelector):
			return "namespace"
		case p.PodSelector != nil && p.NamespaceSelector == nil && !everything(p.PodSelector):
			return "pod"
		}
		return ""
	}
	for _, j := range []int{i - 1, i + 1} {
		if j >= 0 && j < len(r.peers) && alone(i) != "" && alone(j) != "" && alone(i) != alone(j) {
			return j
		}
	}
	return -1
}

// orInsteadOfAnd finds a namespaceSelector and a podSelector as two items of a
// list, where the pods that the second one selects are in the namespaces that
// the first one selects and not in the policy's own: one item was meant.
func orInsteadOfAnd(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i := range r.peers {
				j := apart(r, i)
				if r.peers[i].NamespaceSelector == nil || j < 0 {
					continue
				}
				if where, known := v.together(r, i, j); len(where) > 0 {
					drafts = append(drafts, splitDraft(r, i, j, where, known))
				}
			}
		}
	}
	return drafts
}

// together lists what the two items would select as one, and whether the labels
// of those namespaces are known; nothing where the podSelector has a meaning of
// its own in the policy's namespace.
func (v *view) together(r rule, i, j int) (all []*class, known bool) {
	pods := v.selector(r.peers[j].PodSelector)
	candidates := slices.Clone(v.classes)
	for _, resolver := range v.dnsPods {
		if resolver.assumed {
			candidates = append(candidates, resolver.class)
		}
	}
	both := networkingv1.NetworkPolicyPeer{NamespaceSelector: r.peers[i].NamespaceSelector, PodSelector: r.peers[j].PodSelector}
	for _, c := range candidates {
		if c.Namespace == r.policy.Namespace && pods.Matches(labels.Set(c.Labels)) {
			return nil, false
		}
		if takes, certain := v.takes(r.policy.Namespace, &both, c); takes || !certain {
			all, known = append(all, c), known || takes
		}
	}
	if len(v.in(r.policy.Namespace)) == 0 {
		return nil, false // what the podSelector means there is not known
	}
	return all, known && !v.made(r.policy.Namespace, r.peers[j].PodSelector)
}

func splitDraft(r rule, i, j int, where []*class, known bool) draft {
	list := r.at(r.peersKey())
	pods := r.peers[j].PodSelector
	d := draft{policy: r.policy, at: list.plus(min(i, j)), severity: Error}
	d.what = fmt.Sprintf("Two items stand where one was meant: the namespaceSelector alone opens the rule to every pod of %s.", metav1.FormatLabelSelector(r.peers[i].NamespaceSelector))
	d.why = fmt.Sprintf("Items of a list are alternatives; selectors within one item must both match (NetworkPolicyPeer). No pod of %s matches %s, but %s does.", r.policy.Namespace, metav1.FormatLabelSelector(pods), names(where))
	if !known {
		d.severity = Warning
		d.why += " Whether its namespace has those labels, or others are made here, is not known."
	}
	d.fix = "Put both selectors into one item: without the second dash."
	d.edit = func(root *yaml.Node) {
		selector := lookup(root, list.plus(j, "podSelector"))
		if selector == nil {
			return
		}
		item := lookup(root, list.plus(j))
		set(list.plus(i, "podSelector"), selector)(root)
		if key, _ := step(lookup(root, list.plus(i)), "podSelector"); key != nil {
			key.HeadComment = together(item.HeadComment, item.Content[0].HeadComment)
		}
		drop(list.plus(j))(root)
	}
	return d
}

// anyNamespace finds ingress rules that take pods by their labels out of every
// namespace: who may create a pod anywhere can give it the labels.
func anyNamespace(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i, peer := range r.peers {
				if r.direction != ingress || !everything(peer.NamespaceSelector) || peer.PodSelector == nil || everything(peer.PodSelector) {
					continue
				}
				var homes []string
				for _, c := range v.classes {
					if ok, _ := v.takes(p.Namespace, &r.peers[i], c); ok && !slices.Contains(homes, c.Namespace) {
						homes = append(homes, c.Namespace)
					}
				}
				if len(homes) == 0 {
					continue
				}
				have := "has"
				if len(homes) > 1 {
					have = "have"
				}
				field := r.at("from", i, "namespaceSelector")
				drafts = append(drafts, draft{
					policy: p, at: field, severity: Info,
					what: fmt.Sprintf("Pods of any namespace get in with the labels %s.", metav1.FormatLabelSelector(peer.PodSelector)),
					why:  fmt.Sprintf("An empty namespaceSelector selects all namespaces (NetworkPolicyPeer.namespaceSelector). Today only %s %s such pods, but who may create a pod anywhere chooses its labels.", strings.Join(homes, ", "), have),
					fix:  "Name the namespace.",
					edit: set(field, anyOf(homes)),
				})
			}
		}
	}
	return drafts
}
