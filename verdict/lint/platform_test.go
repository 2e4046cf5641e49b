package lint

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	kyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/scenarios"
)

// platform writes the workloads of a scenario and the policies of its rollout as
// a person would hand them over.
func platform(t *testing.T, name string) (policies, workloads string) {
	t.Helper()
	s, err := scenarios.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := s.Manifests("")
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d manifests, %v", len(objects), err)
	}
	var docs []string
	for _, o := range objects {
		docs = append(docs, manifestOf(t, o))
	}
	workloads = strings.Join(docs, "---\n")
	docs = nil
	for _, p := range s.Spec.Rollout.Policies.Inline {
		np := networkingv1.NetworkPolicy{Spec: p.Spec}
		np.APIVersion, np.Kind, np.Namespace, np.Name = "networking.k8s.io/v1", "NetworkPolicy", p.Namespace, p.Name
		docs = append(docs, manifestOf(t, np))
	}
	return strings.Join(docs, "---\n"), workloads
}

func manifestOf(t *testing.T, o any) string {
	t.Helper()
	raw, err := kyaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTheGoodRolloutHasNoError(t *testing.T) {
	policies, workloads := platform(t, "zero-trust-ai-platform")
	for _, f := range check(t, policies, workloads) {
		if f.Severity == Error {
			t.Errorf("%s", f)
		}
	}
}

// A bad rollout's cause is found, and the corrected YAML makes it as good as the
// good one.
func TestABadRolloutHasItsCauseAsAnErrorWithTheCorrection(t *testing.T) {
	for _, tt := range []struct{ scenario, rule, object, field string }{
		{"gw-forgot-dns", "dns-forgotten", "ai/llm-gateway", "spec.egress"},
		{"observability-blackout", "metrics-forgotten", "ai/model", "spec.ingress"},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			policies, workloads := platform(t, tt.scenario)
			var errors []Finding
			for _, f := range check(t, policies, workloads) {
				if f.Severity == Error {
					errors = append(errors, f)
				}
			}
			if len(errors) != 1 {
				t.Fatalf("errors: %v, want one", errors)
			}
			f := errors[0]
			if f.Rule != tt.rule || f.Object.String() != "NetworkPolicy "+tt.object || f.Position.Field != tt.field {
				t.Errorf("found %s, want %s of %s %s", f, tt.rule, tt.object, tt.field)
			}
			for _, g := range check(t, apply(t, policies, f), workloads) {
				if g.Severity == Error {
					t.Errorf("after the correction: %s", g)
				}
			}
		})
	}
}
