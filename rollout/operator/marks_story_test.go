package operator

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// labelled gives the candidates of a rollout labels and annotations of their author's,
// one of which a policy that is there has with another value.
func labelled(ro *v1alpha1.PolicyRollout) {
	for i := range ro.Spec.Policies.Inline {
		c := &ro.Spec.Policies.Inline[i]
		c.Labels, c.Annotations = map[string]string{"team": "platform", "reviewed": "yes"}, map[string]string{"doc": "runbooks/net"}
	}
}

// A manifest comes whole: what its author wrote on it is there after the commit, beside
// what others wrote, and nothing of ours is.
func TestACommittedPolicyHasItsLabelsAndAnnotations(t *testing.T) {
	t.Run("by an administrator, from a ConfigMap", func(t *testing.T) {
		t.Parallel()
		s, ro := newChange(t)
		labelled(ro)
		text := ""
		for _, c := range ro.Spec.Policies.Inline {
			raw, err := yaml.Marshal(c.Manifest())
			s.must(err)
			text += "---\n" + string(raw)
		}
		s.create(&corev1.ConfigMap{ObjectMeta: s.meta("policies"), Data: map[string]string{"all.yaml": text}})
		ro.Spec.Policies.Inline, ro.Spec.Policies.ConfigMapRef = nil, &v1alpha1.ConfigMapRef{Name: "policies"}
		s.wantLabelled(ro)
	})
	t.Run("by a tenant", func(t *testing.T) {
		t.Parallel()
		s, ro := aLabellingTenant(t)
		s.wantLabelled(ro)
	})
}

// aLabellingTenant is a tenant whose rollout changes labels and annotations.
func aLabellingTenant(t *testing.T) (*story, *v1alpha1.PolicyRollout) {
	s := aTenant(t, 36)
	ro := s.change()
	ro.Spec.ServiceAccountName = deploy.TenantAccount
	labelled(ro)
	pin(ro, s.suite())
	return s, ro
}

func (s *story) wantLabelled(ro *v1alpha1.PolicyRollout) {
	s.t.Helper()
	s.begin(ro)
	if st := s.end(); st.Phase != v1alpha1.PhaseCommitted {
		s.t.Fatalf("ended %s: %s", st.Phase, st.Message)
	}
	s.wantNothingLeft()
	for name, note := range map[string]string{"client-egress": "", "server-ingress": "written by hand"} {
		np := s.policyNamed(name)
		labels, annotations := map[string]string{"team": "platform", "reviewed": "yes"}, map[string]string{"doc": "runbooks/net", v1alpha1.AnnotationCommittedBy: s.run()}
		if note != "" {
			annotations["note"] = note
		}
		if !maps.Equal(np.Labels, labels) || !maps.Equal(np.Annotations, annotations) {
			s.t.Errorf("policy %s has %v and %v", name, np.Labels, np.Annotations)
		}
	}
	for _, np := range s.policies() {
		if np.Name == "stays" && np.Labels["team"] != "ai" {
			s.t.Errorf("policy stays has %v", np.Labels)
		}
	}
}

// A commit that comes to nothing leaves the labels as they were, with whom they were.
func TestLabelsAreGivenBackWithThePolicy(t *testing.T) {
	t.Run("by an administrator", func(t *testing.T) {
		t.Parallel()
		s, ro := newChange(t)
		labelled(ro)
		s.wantGivenBack(ro)
	})
	t.Run("by a tenant", func(t *testing.T) { // the account wrote them, and the controller takes them off
		t.Parallel()
		s, ro := aLabellingTenant(t)
		s.wantGivenBack(ro)
	})
}

// wantGivenBack aborts a rollout in the middle of its commit.
func (s *story) wantGivenBack(ro *v1alpha1.PolicyRollout) {
	s.t.Helper()
	s.begin(ro)
	await(s, &networkingv1.NetworkPolicyList{}, "the candidate in the place of server-ingress", func(np *networkingv1.NetworkPolicy) bool {
		return np.Name == "server-ingress" && np.Labels["reviewed"] == "yes"
	})
	s.abort()
	if st := s.end(); st.Phase != v1alpha1.PhaseRolledBack {
		s.t.Fatalf("ended %s: %s", st.Phase, st.Message)
	}
	s.wantAsBefore()
	s.wantNothingLeft()
}

// What the policy carries is enough to have its labels back, also where the plan is lost.
func TestANoteHasTheLabels(t *testing.T) {
	have := &networkingv1.NetworkPolicy{}
	have.Namespace, have.Name, have.UID = "a", "c", "p"
	have.Labels = map[string]string{"team": "ai"}
	p := aPlan()
	p.Candidates[0].Marks = plan.Marks{Labels: map[string]*string{"team": new("b"), "more": new("x")}}
	o := plan.Original{Policy: plan.Policy{Namespace: "a", Name: "c", Spec: have.Spec}, UID: have.UID, Becomes: plan.SumOf(p.Candidates[0].Spec)}
	o.Set, o.Was = p.Candidates[0].Marks.Changing(have)
	p.Originals = []plan.Original{o}
	final := p.finalWishes(rollout.Live)[0]
	final.have = have.DeepCopy()
	now := final.noted()
	if now.Labels["team"] != "b" || now.Labels["more"] != "x" {
		t.Fatalf("committed it has %v", now.Labels)
	}
	n, ok := noteOf(now)
	if !ok {
		t.Fatal("it carries no note")
	}
	back := n.original(now).wish(rollout.Whole, p.key())
	stripped := now.DeepCopy() // by somebody who took the note for rubbish: the plan knows as much
	stripped.Spec, stripped.Annotations = p.Candidates[0].Spec, nil
	for name, np := range map[string]*networkingv1.NetworkPolicy{"with its note": now, "without": stripped} {
		back.have = np
		whole := back.noted()
		delete(whole.Labels, v1alpha1.LabelOriginal)
		if !maps.Equal(whole.Labels, have.Labels) {
			t.Errorf("%s it is given back with %v, had %v", name, whole.Labels, have.Labels)
		}
	}
}
