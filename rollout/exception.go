package rollout

import (
	"encoding/json"
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// AllowedUnisolations are the pods that the author of a rollout lets be without
// isolation, as policies that select them.
func AllowedUnisolations(spec *v1alpha1.PolicyRolloutSpec) []verdict.Policy {
	var out []verdict.Policy
	for _, e := range spec.Exceptions {
		if e.Type == v1alpha1.ExceptionUnisolation && e.PodSelector != nil {
			out = append(out, verdict.Policy{Namespace: e.Namespace, Name: "accepted",
				Spec: networkingv1.NetworkPolicySpec{PodSelector: *e.PodSelector, PolicyTypes: []networkingv1.PolicyType{e.Direction}}})
		}
	}
	return out
}

// exception is what accepts an un-isolation, for the author to fill in the reason.
func (u Unisolation) exception() string {
	raw, err := json.Marshal(u.Selector)
	if err != nil {
		panic(err) // plain data always marshals
	}
	namespace, _, _ := strings.Cut(u.Policy, "/")
	return fmt.Sprintf(`{type: %s, namespace: %s, podSelector: %s, direction: %s, reason: "say why"}`, v1alpha1.ExceptionUnisolation, namespace, raw, u.Direction)
}

// ExceptionYAML is the part of a PolicyRollout that accepts something of the given
// paths, for its author to fill in the reason.
func ExceptionYAML(t v1alpha1.ExceptionType, paths ...string) string {
	var b strings.Builder
	b.WriteString("spec:\n  exceptions:")
	for _, path := range paths {
		fmt.Fprintf(&b, "\n  - {type: %s, path: %q, reason: %q}", t, path, "say why")
	}
	return b.String()
}
