package rollout

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// labelPrefix is that of every label key of ours.
const labelPrefix = "tightrope.dev/"

// inertKey is the key that match-nothing selectors contradict themselves on. Its
// name tells whoever reads the object why it selects no pod.
const inertKey = labelPrefix + "inert"

// Activation is how far a bridge or candidate of a run reaches.
type Activation uint8

// The activations. The zero Activation is Inert, which touches nothing.
const (
	Inert  Activation = iota // selects no pod
	Shadow                   // selects the run's probe pods only
	Live                     // selects all pods it is for
)

// String names the activation for people.
func (a Activation) String() string {
	switch a {
	case Shadow:
		return "shadow"
	case Live:
		return "live"
	}
	return "inert"
}

// MatchNothing is a selector that no pod can match: it wants a key to be there
// and not to be there. An empty selector would match every pod.
func MatchNothing() metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: inertKey, Operator: metav1.LabelSelectorOpExists},
		{Key: inertKey, Operator: metav1.LabelSelectorOpDoesNotExist},
	}}
}

// BridgeSelector is the selector of a bridge of the run. A pod labelled enforced
// for the run is outside every bridge (NotIn matches pods without the key), so
// that only the candidate judges it. Inert is the enforced state: no pod is bridged.
func BridgeSelector(b Bridge, a Activation, run string) metav1.LabelSelector {
	sel := CandidateSelector(b.Selector, a, run)
	if a == Shadow || a == Live {
		sel.MatchExpressions = append(sel.MatchExpressions, requirement(v1alpha1.LabelEnforced, metav1.LabelSelectorOpNotIn, run))
	}
	return sel
}

// CandidateSelector is the selector of a candidate policy of the run that
// declares sel. The result shares nothing with sel.
func CandidateSelector(sel metav1.LabelSelector, a Activation, run string) metav1.LabelSelector {
	own := *sel.DeepCopy()
	switch a {
	case Live:
		return own
	case Shadow:
		own.MatchExpressions = append(own.MatchExpressions, requirement(v1alpha1.LabelProbe, metav1.LabelSelectorOpIn, run))
		return own
	}
	return MatchNothing()
}

// Hold is how much of a policy of R is left in a state of a run.
type Hold uint8

// The holds. The zero Hold is Whole, which is the policy as it was.
const (
	Whole      Hold = iota // selects every pod that it did
	Unenforced             // leaves the pods alone that the run has labelled enforced
	Gone                   // selects no pod
)

// HoldOf says how much of R a scope leaves: the policies of R stay for every pod
// that is not enforced, and are so the bridge of those that they isolate.
func HoldOf(s Scope) Hold {
	switch s {
	case ProbePods, Bridged, Few:
		return Unenforced
	case Everyone:
		return Gone
	}
	return Whole
}

// OriginalSelector is the selector of a policy of R that selects sel before the
// run. What its author wrote stays in it, so that applying it anew changes nothing.
// The result shares nothing with sel.
func OriginalSelector(sel metav1.LabelSelector, h Hold, run string) metav1.LabelSelector {
	own := *sel.DeepCopy()
	own.MatchExpressions = append(own.MatchExpressions, held(h, run)...)
	return own
}

// held is what a run requires of the pods of a policy of R, besides its author.
func held(h Hold, run string) []metav1.LabelSelectorRequirement {
	switch h {
	case Whole:
		return nil
	case Unenforced:
		return []metav1.LabelSelectorRequirement{requirement(v1alpha1.LabelEnforced, metav1.LabelSelectorOpNotIn, run)}
	}
	return MatchNothing().MatchExpressions
}

// Unheld is the selector without what a run requires, and whether there was any of it.
func Unheld(sel metav1.LabelSelector, run string) (metav1.LabelSelector, bool) {
	own := *sel.DeepCopy()
	ours := append(held(Unenforced, run), held(Gone, run)...)
	own.MatchExpressions = slices.DeleteFunc(own.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return requires(ours, r) })
	return own, len(own.MatchExpressions) < len(sel.MatchExpressions)
}

// SelectsNothing reports whether a run has made the selector match no pod.
func SelectsNothing(sel metav1.LabelSelector) bool {
	for _, r := range MatchNothing().MatchExpressions {
		if !requires(sel.MatchExpressions, r) {
			return false
		}
	}
	return true
}

func requires(all []metav1.LabelSelectorRequirement, one metav1.LabelSelectorRequirement) bool {
	return slices.ContainsFunc(all, func(r metav1.LabelSelectorRequirement) bool { return equality.Semantic.DeepEqual(r, one) })
}

func requirement(key string, op metav1.LabelSelectorOperator, run string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{run}}
}

// BridgeSpec is the policy of a bridge with the given selector: it allows
// everything in its direction, and has no say in the other.
func BridgeSpec(b Bridge, sel metav1.LabelSelector) networkingv1.NetworkPolicySpec {
	spec := networkingv1.NetworkPolicySpec{PodSelector: sel, PolicyTypes: []networkingv1.PolicyType{b.Direction}}
	if b.Direction == networkingv1.PolicyTypeEgress {
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
	} else {
		spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	}
	return spec
}
