package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// otherKind is a kind of policies, besides NetworkPolicy, that the cluster serves.
type otherKind struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
}

// otherPolicy is what has to be known of an object of such a kind.
type otherPolicy struct {
	kind            otherKind
	namespace, name string // namespace is empty for one of the cluster
	reaches         []reach
}

func (p otherPolicy) String() string {
	name := p.name
	if p.namespace != "" {
		name = p.namespace + "/" + name
	}
	return fmt.Sprintf("%s %s of %s", p.kind.kind, name, p.kind.Group)
}

const (
	maxNamedPolicies = 5 // in one refusal; a status is no list of a cluster's policies
	maxNamedPods     = 3
)

// openedByBridges names the policies of other kinds that may select a pod that a
// bridge selects, in a direction in which both decide; empty: there is none. An
// allow-all bridge may open what such a policy closes: Cilium adds up what all its
// kinds and NetworkPolicies allow, and a baseline tier is asked only about pods
// that no NetworkPolicy isolates. Selectors are compared, not pods, because a
// pod may be created while the bridge is there; what cannot be compared may select
// every pod.
func openedByBridges(found []otherPolicy, bridges []plan.Bridge, w *world) []string {
	var all []string
	for _, p := range found {
		if where := openedOf(p, bridges, w); len(where) > 0 {
			all = append(all, fmt.Sprintf("%s may select pods that a bridge opens: %s", p, strings.Join(where, "; ")))
		}
	}
	slices.Sort(all)
	if more := len(all) - maxNamedPolicies; more > 0 {
		all = append(all[:maxNamedPolicies], fmt.Sprintf("so may %d more", more))
	}
	return all
}

// openedOf says where the bridges meet one policy, one entry per namespace.
func openedOf(p otherPolicy, bridges []plan.Bridge, w *world) []string {
	directions, pods := map[string][]string{}, map[string][]string{}
	var namespaces []string
	for _, b := range bridges {
		for _, r := range p.reaches {
			if !r.meets(p, b, w) {
				continue
			}
			namespaces = append(namespaces, b.Namespace)
			directions[b.Namespace] = append(directions[b.Namespace], string(b.Direction))
			pods[b.Namespace] = append(pods[b.Namespace], w.both(b, r.pods)...)
		}
	}
	var where []string
	for _, ns := range distinct(namespaces) {
		where = append(where, fmt.Sprintf("namespace %s, %s (%s)", ns, strings.Join(distinct(directions[ns]), " and "), today(distinct(pods[ns]))))
	}
	return where
}

func distinct(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func today(pods []string) string {
	switch more := len(pods) - maxNamedPods; {
	case len(pods) == 0:
		return "no pod of today"
	case more > 0:
		return fmt.Sprintf("today %s and %d more", strings.Join(pods[:maxNamedPods], ", "), more)
	}
	return "today " + strings.Join(pods, ", ")
}

// both lists the production pods of today that the bridge and the selector select.
func (w *world) both(b plan.Bridge, sel metav1.LabelSelector) []string {
	var names []string
	for _, pod := range w.pods {
		if pod.Namespace == b.Namespace && pod.Labels[v1alpha1.LabelRole] == "" && !pod.Spec.HostNetwork && !finished(pod) &&
			selects(&b.Selector, pod.Labels) && selects(&sel, pod.Labels) {
			names = append(names, pod.Name)
		}
	}
	return names
}

// reach is a set of pods for which a policy decides, and in which directions. Its
// selectors may be wider than the policy's, never narrower. The zero reach has no
// direction; its selectors select every pod.
type reach struct {
	directions []networkingv1.PolicyType
	namespaces metav1.LabelSelector // by their labels; not read of a policy that has a namespace
	pods       metav1.LabelSelector
}

// meets reports whether the reach of a policy may have a pod that a bridge selects.
func (r reach) meets(p otherPolicy, b plan.Bridge, w *world) bool {
	if p.kind.namespaced && p.namespace != b.Namespace || !slices.Contains(r.directions, b.Direction) || !b.Meets(r.pods) {
		return false
	}
	if p.kind.namespaced {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(&r.namespaces)
	has, known := w.verdict.Namespaces[b.Namespace]
	return err != nil || !known || sel.Matches(namespaceLabels{labels.Set(has), b.Namespace})
}

// namespaceLabels are a namespace's labels with the one that the API server sets.
type namespaceLabels struct {
	labels.Set
	name string
}

func (l namespaceLabels) Has(key string) bool { return key == labelNamespace || l.Set.Has(key) }

func (l namespaceLabels) Get(key string) string {
	if key == labelNamespace {
		return l.name
	}
	return l.Set.Get(key)
}

func (l namespaceLabels) Lookup(key string) (string, bool) { return l.Get(key), l.Has(key) }

const labelNamespace = "kubernetes.io/metadata.name"

// refuseOtherKinds refuses a plan with a bridge that may open what a policy of
// another kind closes, or of which nobody can tell.
func (r *RunReconciler) refuseOtherKinds(ctx context.Context, p *Plan, w *world, no *refusal) error {
	if len(p.Bridges) == 0 {
		return nil // nothing is opened
	}
	others, err := r.Others.list(ctx, p.bridged())
	if err != nil {
		return fmt.Errorf("policies of other kinds: %w", err)
	}
	no.reasons = append(no.reasons, others.unknown...)
	if r.unsent == nil {
		no.reasons = append(no.reasons, others.hidden...)
	} else if len(others.hidden) > 0 {
		p.unseen = append(p.unseen, "policies of other kinds that a bridge may open: you may not list all of them, and the controller does")
	}
	if opened := openedByBridges(others.found, p.Bridges, w); len(opened) > 0 {
		no.add("%s: a bridge allows everything, and this version knows what that changes for NetworkPolicies only: "+
			"remove these policies, or make their selectors select other pods, or take the namespaces named out of the rollout", strings.Join(opened, "; "))
	}
	return nil
}

// opening names what openedByBridges does of the policies that a world shows; empty: none.
func (p *Plan) opening(w *world) string {
	return strings.Join(openedByBridges(p.othersNear(w), p.Bridges, w), "; ")
}

// othersNear are the policies of other kinds that may select a pod in a namespace with a
// bridge.
func (p *Plan) othersNear(w *world) []otherPolicy {
	if len(p.Bridges) == 0 || len(w.others) == 0 {
		return nil
	}
	near := slices.Clone(w.others[""])
	for _, ns := range p.bridged() {
		near = append(near, w.others[ns]...)
	}
	return near
}

// isolatedByOthers are the pods that policies of other kinds may isolate and that a
// bridge would open, as NetworkPolicies without a rule.
func (p *Plan) isolatedByOthers(w *world) []verdict.Policy {
	var out []verdict.Policy
	for _, o := range p.othersNear(w) {
		for i, r := range o.reaches {
			for _, b := range p.Bridges {
				if r.meets(o, b, w) {
					out = append(out, verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprintf("%s, %s, rule %d", o, b.Direction, i+1),
						Spec: networkingv1.NetworkPolicySpec{PodSelector: r.pods, PolicyTypes: []networkingv1.PolicyType{b.Direction}}})
				}
			}
		}
	}
	return out
}

// bridged lists the namespaces that have bridges.
func (p *Plan) bridged() []string {
	var names []string
	for _, b := range p.Bridges {
		names = append(names, b.Namespace)
	}
	return distinct(names)
}
