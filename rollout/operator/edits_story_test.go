package operator

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// A person edits what the run wrote, or takes a name that it is about to use.
func TestAnEditOfOurPoliciesEndsTheRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(s *story)
		want string
	}{
		{"a candidate opened", func(s *story) {
			s.edit(plan.ObjectName(s.run(), roleCandidate, 0), func(np *networkingv1.NetworkPolicy) {
				np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{})
			})
		}, `a candidate of this run, was changed by "kubectl-edit"`},
		{"a bridge deleted", func(s *story) {
			s.must(s.c.client.Delete(s.ctx, s.policyNamed(plan.ObjectName(s.run(), roleBridge, 0))))
		}, "a bridge of this run, was deleted"},
		{"a policy made under a final's name", func(s *story) {
			theirs := s.policy("server-ingress", map[string]string{"app": "theirs"}, networkingv1.PolicyTypeIngress, "client", 1)
			np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("server-ingress"), Spec: theirs.Spec}
			s.create(np)
			s.baseline = append(s.baseline, *np)
		}, "/server-ingress appeared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach("all")
			tt.edit(s)
			st := s.end()
			s.wantEnd(st, v1alpha1.PhaseRolledBack, "Foreign", "RolledBack")
			if !strings.Contains(st.Message, tt.want) {
				t.Errorf("message %q lacks %q", st.Message, tt.want)
			}
		})
	}
}

func TestALostSnapshotIsRolledBackByWhatIsThere(t *testing.T) {
	for _, place := range []string{"observe", "few", "all"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach(place)
			s.stopOperator()
			key := plan.Revision(s.run())
			var rev appsv1.ControllerRevision
			s.must(s.c.client.Get(s.ctx, key, &rev))
			s.must(s.c.client.Delete(s.ctx, &rev))
			s.operate()
			st := s.end()
			s.wantEnd(st, v1alpha1.PhaseRolledBack, "Foreign", "RolledBack")
			if !strings.Contains(st.Message, "the snapshot of the plan is lost") {
				t.Errorf("message %q does not say that the snapshot is lost", st.Message)
			}
		})
	}
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) policyNamed(name string) *networkingv1.NetworkPolicy {
	s.t.Helper()
	var np networkingv1.NetworkPolicy
	s.must(s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: name}, &np))
	return &np
}

func (s *story) edit(name string, change func(*networkingv1.NetworkPolicy)) {
	s.t.Helper()
	np := s.policyNamed(name)
	change(np)
	s.must(s.c.client.Update(s.ctx, np, client.FieldOwner("kubectl-edit")))
}
