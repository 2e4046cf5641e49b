package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// baselineChange is what somebody else did to a policy of the namespaces that the
// run writes to, since it was planned.
type baselineChange struct {
	was, now *verdict.Policy // nil: it was not there, or is not any more
	what     string          // in words
}

func (c baselineChange) key() string {
	if c.was != nil {
		return c.was.Key()
	}
	return c.now.Key()
}

// where is the namespace and the name of the policy.
func (c baselineChange) where() (namespace, name string) {
	x := cmp.Or(c.was, c.now)
	return x.Namespace, x.Name
}

// digest tells one change of a policy from another.
func (c baselineChange) digest() string {
	if c.now == nil {
		return "deleted"
	}
	return plan.SumOf(c.now.Spec)
}

// stored is the policy as it was planned with, as YAML; empty: it was not there.
func (c baselineChange) stored() string {
	if c.was == nil {
		return ""
	}
	raw, err := yaml.Marshal(networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: c.was.Namespace, Name: c.was.Name}, Spec: c.was.Spec,
	})
	if err != nil {
		return "" // plain data always marshals
	}
	return "---\n" + string(raw)
}

// baselineChanges lists what somebody else changed, sorted by name.
func (s *session) baselineChanges(w *world) []baselineChange {
	var out []baselineChange
	before := map[string]*verdict.Policy{}
	for _, was := range s.plan.baselinePolicies() {
		before[was.Key()] = &was
	}
	for _, ns := range s.plan.Namespaces() {
		for _, now := range s.plan.foreign(w, ns) {
			was := before[now.Key()]
			delete(before, now.Key())
			switch o := s.plan.original(now.Namespace, now.Name); {
			case o != nil && was != nil && w.policy(types.NamespacedName{Namespace: now.Namespace, Name: now.Name}).UID != o.UID:
				out = append(out, baselineChange{was, &now, fmt.Sprintf("policy %s was deleted and made again while the rollout was under way", now.Key())})
			case was == nil:
				out = append(out, baselineChange{now: &now, what: fmt.Sprintf("policy %s appeared while the rollout was under way", now.Key())})
			case plan.SumOf(was.Spec) != plan.SumOf(now.Spec):
				out = append(out, baselineChange{was, &now, fmt.Sprintf("policy %s was changed while the rollout was under way", now.Key())})
			}
		}
	}
	for key, was := range before {
		out = append(out, baselineChange{was: was, what: fmt.Sprintf("policy %s was deleted while the rollout was under way", key)})
	}
	slices.SortFunc(out, func(a, b baselineChange) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// planned is the world as it is without what others did since the plan was made,
// compiled; and what they did, in words. While candidates act, an original is what the
// run makes of it. Where the run writes nothing it cuts nothing: those namespaces are
// left out.
func (s *session) planned(w *world) (*verdict.Snapshot, string) {
	c := s.compiledFor(w)
	if c.planned != nil {
		return c.planned, c.foreign
	}
	world := within(s.plan.liveWorld(w), s.plan.judgedBy())
	world.Policies = within(world, s.plan.Namespaces()).Policies
	var did []string
	for _, x := range s.baselineChanges(w) {
		did = append(did, x.what)
		if s.plan.original(x.where()) != nil && len(s.acting(w)) > 0 {
			continue
		}
		world.Policies = slices.DeleteFunc(world.Policies, func(p verdict.Policy) bool { return p.Key() == x.key() })
		if x.was != nil {
			world.Policies = append(world.Policies, *x.was)
		}
	}
	c.planned, c.foreign = verdict.Compile(world, nil), strings.Join(did, "; ")
	return c.planned, c.foreign
}

// foreignChange says what somebody else did to the policies that the plan rests
// on, so that it no longer holds; empty: nothing.
func (s *session) foreignChange(w *world, at rollout.State) string {
	if placeOf(at).kind == rollback {
		return ""
	}
	if what := s.edited(w); what != "" {
		return what
	}
	for _, c := range s.baselineChanges(w) {
		if s.record.State.Tolerated[c.key()] == c.digest() || s.repairs(w, c, at) {
			continue
		}
		return c.what
	}
	return s.plan.opening(w)
}

// repairs reports whether a change is the repair that a held run asked for: of a
// policy that the leak goes through, and such that the bridges are those of the
// plan. From then on the baseline is what it left.
func (s *session) repairs(w *world, c baselineChange, at rollout.State) bool {
	st := &s.record.State
	if at.Phase != v1alpha1.PhaseHeld || c.was == nil || !slices.Contains(s.record.Through, c.key()) {
		return false
	}
	var baseline []verdict.Policy
	for _, ns := range s.plan.Namespaces() {
		baseline = append(baseline, s.plan.foreign(w, ns)...)
	}
	bridges, err := rollout.Bridges(baseline, s.plan.candidatePolicies())
	if err != nil || !s.sameBridges(bridges) {
		return false
	}
	if st.Tolerated == nil {
		st.Tolerated = map[string]string{}
	}
	st.Tolerated[c.key()] = c.digest()
	return true
}

func (s *session) sameBridges(bridges []rollout.Bridge) bool {
	planned := make([]rollout.Bridge, 0, len(s.plan.Bridges))
	for _, b := range s.plan.Bridges {
		planned = append(planned, b.Bridge)
	}
	return len(planned) == len(bridges) && (len(planned) == 0 || plan.SumOf(planned) == plan.SumOf(bridges))
}
