package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

// lack is a label that a selector asks for and a pod has not.
type lack struct {
	key    string
	wanted []string // any of them
	has    string
	absent bool
}

// almost says which one label keeps the other end from matching a peer of the
// rule, where that looks like a slip; empty where none does.
func (x *explainer) almost(p verdict.Policy, d networkingv1.PolicyType, rule int) string {
	other := x.conn.To
	if d == networkingv1.PolicyTypeIngress {
		other = x.conn.From
	}
	if other.Pod == nil {
		return ""
	}
	for j, peer := range peersIn(p.Spec, d, rule) {
		lacking, had := lacks(peer.PodSelector, other.Pod.Labels)
		if len(lacking) != 1 || !x.inNamespace(p, d, rule, j) || x.meansOthers(peer.PodSelector, other.Pod) {
			continue
		}
		switch l := lacking[0]; {
		case l.absent && x.onWorkload(other.Pod, l) != "":
			return x.onWorkload(other.Pod, l) + x.wouldDo(d, l)
		case l.absent && had > 0:
			return fmt.Sprintf("%s lacks only the label %s: %s.%s", other, l.key, strings.Join(l.wanted, " or "), x.wouldDo(d, l))
		case !l.absent && (had > 0 || slices.ContainsFunc(l.wanted, func(w string) bool { return related(w, l.has) })):
			return fmt.Sprintf("It asks for %s: %s, and %s has %s: %s. Did you mean %s: %s?", l.key, strings.Join(l.wanted, " or "), other, l.key, l.has, l.key, l.has)
		}
	}
	return ""
}

// lacks are the labels that the selector asks for and the set has not, by key;
// had counts those that it has.
func lacks(s *metav1.LabelSelector, set map[string]string) (all []lack, had int) {
	if s == nil {
		return nil, 0
	}
	asked := map[string][]string{}
	for key, value := range s.MatchLabels {
		asked[key] = []string{value}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator == metav1.LabelSelectorOpIn {
			asked[e.Key] = e.Values
		}
	}
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		if value, ok := set[key]; !ok {
			all = append(all, lack{key: key, wanted: asked[key], absent: true})
		} else if !slices.Contains(asked[key], value) {
			all = append(all, lack{key: key, wanted: asked[key], has: value})
		} else {
			had++
		}
	}
	return all, had
}

// meansOthers reports whether the selector takes pods that are there, in the pod's
// namespace: then it is for those, and no slip.
func (x *explainer) meansOthers(s *metav1.LabelSelector, p *verdict.Pod) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && slices.ContainsFunc(x.set.Pods, func(o verdict.Pod) bool {
		return o.Namespace == p.Namespace && sel.Matches(labels.Set(o.Labels))
	})
}

// inNamespace asks the engine whether the peer would match with any labels.
func (x *explainer) inNamespace(p verdict.Policy, d networkingv1.PolicyType, rule, j int) bool {
	one := withPeer(p, d, rule, j)
	if d == networkingv1.PolicyTypeEgress {
		one.Spec.Egress[0].To[0].PodSelector, one.Spec.Egress[0].Ports = &metav1.LabelSelector{}, nil
	} else {
		one.Spec.Ingress[0].From[0].PodSelector, one.Spec.Ingress[0].Ports = &metav1.LabelSelector{}, nil
	}
	return x.matches(one, d)
}

// onWorkload says that the label stands on the pod's workload, whose own labels
// its pods do not get.
func (x *explainer) onWorkload(p *verdict.Pod, l lack) string {
	w := x.owner(p)
	if w == nil || w.Node() == nil || w.TemplatePath == "" {
		return ""
	}
	n := within(w.Node(), "metadata", "labels", l.key)
	if n == nil || !slices.Contains(l.wanted, n.Value) {
		return ""
	}
	return fmt.Sprintf("The label %s: %s stands on %s %s/%s and not on its pods: put it into %s.metadata.labels.", l.key, n.Value, w.Kind, w.Namespace, w.Name, w.TemplatePath)
}

// wouldDo says so where the label alone makes the connection work.
func (x *explainer) wouldDo(d networkingv1.PolicyType, l lack) string {
	c := x.conn
	end := &c.To
	if d == networkingv1.PolicyTypeIngress {
		end = &c.From
	}
	pod := *end.Pod
	pod.Labels = maps.Clone(pod.Labels)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[l.key] = l.wanted[0]
	end.Pod = &pod
	if x.snapshot.Judge(c).Decision == verdict.Allow {
		return " With it, the connection is allowed."
	}
	return ""
}

// related reports whether one value is likely a later name of the other: one holds
// the other, as gateway-v2 holds gateway.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return len(a) >= 3 && strings.Contains(strings.ToLower(b), strings.ToLower(a))
}
