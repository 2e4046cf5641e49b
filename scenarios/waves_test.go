package scenarios

import (
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// What people wrote by hand there closes nothing that the rollout opens, so the waves
// are those that the scenario asks for, and each takes away what it replaces.
func TestThePlatformIsTightenedInThreeWaves(t *testing.T) {
	s := mustLoad(t, "tightened-in-waves")
	spec := s.Rollout().Spec
	policies := func(all []v1alpha1.CandidatePolicy) []verdict.Policy {
		var out []verdict.Policy
		for _, p := range all {
			out = append(out, verdict.Policy{Namespace: p.Namespace, Name: p.Name, Spec: verdict.Defaulted(p.Spec)})
		}
		return out
	}
	c := rollout.Change{World: verdict.World{Namespaces: map[string]map[string]string{}, Policies: policies(s.Spec.Topology.Policies)}, Candidates: policies(spec.Policies.Inline)}
	for _, ref := range spec.Policies.Remove {
		c.Remove = append(c.Remove, ref.Key())
	}
	for _, ns := range s.Spec.Topology.Namespaces {
		c.World.Namespaces[ns.Name] = map[string]string{"kubernetes.io/metadata.name": ns.Name}
	}
	for _, w := range s.Spec.Topology.Workloads {
		c.Pods = append(c.Pods, verdict.Pod{Namespace: w.Namespace, Name: w.Name, Labels: map[string]string{"app": w.Name}})
	}
	proof, err := rollout.Prove(c, nil, rollout.ProofOptions{Waves: spec.Waves})
	if err != nil || len(proof.Refusals()) > 0 || len(proof.Exposures) > 0 {
		t.Fatalf("exposures %+v, refused %q, %v", proof.Exposures, proof.Refusals(), err)
	}
	var got []string
	for _, w := range proof.Waves {
		got = append(got, w.Name+": "+strings.Join(w.Policies, " "))
	}
	want := "storage: storage/default-deny storage/open-for-migration storage/vector-db; " +
		"inference: inference/default-deny inference/llm-gateway inference/model inference/model-debugging; " +
		"product: product/batch product/chat-api product/default-deny product/egress product/rag-worker"
	if strings.Join(got, "; ") != want { // feature-store of storage is right already
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}
