package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// input is what a plan is made from, in the order in which somebody happens to list it.
type input struct {
	rollout  v1alpha1.PolicyRollout
	suites   []v1alpha1.ConnectivitySuiteSpec
	policies []networkingv1.NetworkPolicy
}

func np(name, app string, types ...networkingv1.PolicyType) networkingv1.NetworkPolicy {
	return networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, PolicyTypes: types}}
}

func suite(name string) v1alpha1.ConnectivitySuiteSpec {
	return v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: name, Namespace: "a"}, {Name: name + "-2", Namespace: "a"}},
		Paths: []v1alpha1.Path{{Name: name + " to x", From: name, Expect: v1alpha1.ExpectAllow}, {Name: name + " to y", From: name, Expect: v1alpha1.ExpectDeny}}}
}

func anInput() input {
	in := input{suites: []v1alpha1.ConnectivitySuiteSpec{suite("one"), suite("two")},
		policies: []networkingv1.NetworkPolicy{np("old", "web", "Ingress"), np("gone", "db", "Ingress"), np("stays", "cache", "Ingress"), np("same", "api", "Egress")}}
	in.rollout.Namespace, in.rollout.Name = "a", "r"
	spec := &in.rollout.Spec
	spec.Stages = []v1alpha1.Stage{{Name: "all", Mode: v1alpha1.ModeEnforce}}
	for _, c := range []networkingv1.NetworkPolicy{np("new", "mail"), np("old", "web"), np("same", "api", "Egress")} {
		if c.Name == "old" {
			c.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		}
		spec.Policies.Inline = append(spec.Policies.Inline, v1alpha1.CandidatePolicy{Namespace: c.Namespace, Name: c.Name, Spec: c.Spec})
	}
	spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: "a", Name: "gone"}, {Namespace: "a", Name: "never was"}}
	spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: "one to x", Reason: "x"}, {Type: v1alpha1.ExceptionPredictedCut, Path: "two to x", Reason: "y"}}
	spec.ProtectedNamespaces = []string{"m", "n"}
	return in
}

func planned(t *testing.T, in input) plan.Plan {
	t.Helper()
	p, wrong := Begin(&in.rollout)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for _, s := range in.suites {
		for _, id := range s.Identities {
			AddIdentity(&p, id)
		}
		for _, path := range s.Paths {
			p.Paths = append(p.Paths, PathOf(path))
		}
	}
	c := Change{Remove: in.rollout.Spec.Policies.Remove, Policies: in.policies}
	for _, candidate := range in.rollout.Spec.Policies.Inline {
		c.Candidates = append(c.Candidates, plan.Candidate{Policy: plan.Policy{Namespace: candidate.Namespace, Name: candidate.Name, Spec: verdict.Defaulted(candidate.Spec)}, Marks: plan.MarksOf(candidate.Manifest())})
	}
	Settle(&p, c)
	if err := Bridge(&p, in.policies); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPlanHasWhatChangesAndWhatIsThere(t *testing.T) {
	in := anInput()
	ours := np("ours", "web", "Ingress")
	ours.Labels = map[string]string{v1alpha1.LabelRun: "r-1", v1alpha1.LabelRole: plan.RoleBridge}
	elsewhere := np("elsewhere", "web", "Ingress")
	elsewhere.Namespace = "b"
	in.policies = append(in.policies, ours, elsewhere)
	p := planned(t, in)
	var candidates, originals, baseline []string
	for _, c := range p.Candidates {
		candidates = append(candidates, c.Key())
	}
	for _, o := range p.Originals {
		originals = append(originals, o.Key())
	}
	for _, b := range p.Baseline {
		baseline = append(baseline, b.Key())
	}
	for _, x := range []struct {
		what      string
		got, want []string
	}{{"candidates", candidates, []string{"a/new", "a/old"}}, {"originals", originals, []string{"a/old", "a/gone"}},
		{"removed", p.Removed(), []string{"a/gone"}}, {"baseline", baseline, []string{"a/gone", "a/old", "a/same", "a/stays"}}} {
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s are %q, want %q", x.what, x.got, x.want)
		}
	}
	if len(p.Bridges) == 0 {
		t.Error("no bridge keeps the pods of the new policy open")
	}
}

// Whoever lists the same things in another order, or leaves out what the API server
// fills in, has the same digest.
func TestTheSameThingsHaveOneDigest(t *testing.T) {
	was := planned(t, anInput())
	for name, turn := range map[string]func(in *input){
		"suites":                                func(in *input) { slices.Reverse(in.suites) },
		"identities":                            func(in *input) { slices.Reverse(in.suites[0].Identities) },
		"paths":                                 func(in *input) { slices.Reverse(in.suites[0].Paths) },
		"candidates":                            func(in *input) { slices.Reverse(in.rollout.Spec.Policies.Inline) },
		"removals":                              func(in *input) { slices.Reverse(in.rollout.Spec.Policies.Remove) },
		"policies":                              func(in *input) { slices.Reverse(in.policies) },
		"exceptions":                            func(in *input) { slices.Reverse(in.rollout.Spec.Exceptions) },
		"protectedNamespaces":                   func(in *input) { slices.Reverse(in.rollout.Spec.ProtectedNamespaces) },
		"policyTypes of what is there left out": func(in *input) { in.policies[0].Spec.PolicyTypes = nil },
		"UIDs":                                  func(in *input) { in.policies[0].UID, in.rollout.UID = "1", "2" },
	} {
		in := anInput()
		turn(&in)
		if p := planned(t, in); p.Digest() != was.Digest() {
			t.Errorf("%s: another digest", name)
		}
	}
	for name, edit := range map[string]func(in *input){
		"another baseline": func(in *input) { in.policies = append(in.policies, np("late", "web", "Egress")) },
		"another limit":    func(in *input) { in.rollout.Spec.InconclusiveDeadline.Duration = time.Hour },
		"another reason":   func(in *input) { in.rollout.Spec.Exceptions[0].Reason = "z" },
		"another stage":    func(in *input) { in.rollout.Spec.Stages[0].MinDuration.Duration = time.Hour },
	} {
		in := anInput()
		edit(&in)
		if p := planned(t, in); p.Digest() == was.Digest() {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestWhatIsWrongWithARollout(t *testing.T) {
	in := anInput()
	spec := &in.rollout.Spec
	spec.Stages, spec.Analysis.FalseRollbackBudget, spec.Analysis.Interval.Duration = nil, "none", time.Millisecond
	spec.RollbackScope = v1alpha1.RollbackAll // it came in before admission refused it
	if _, wrong := Begin(&in.rollout); len(wrong) != 4 {
		t.Errorf("got %q, want four things", wrong)
	}
}

func TestMorePathsThanARolloutTests(t *testing.T) {
	if why := TooManyPaths(MaxPaths); why != "" {
		t.Errorf("%d paths: %s", MaxPaths, why)
	}
	if why := TooManyPaths(MaxPaths + 1); !strings.Contains(why, "2049 paths, and a rollout tests at most 2048") {
		t.Errorf("one more: %q", why)
	}
}

// The marks of a candidate are part of what is decided, where its spec is to be written;
// what a policy had in their place is remembered, for the way back.
func TestACandidateKeepsItsLabelsAndAnnotations(t *testing.T) {
	was := planned(t, anInput())
	in := anInput()
	for i := range in.rollout.Spec.Policies.Inline {
		in.rollout.Spec.Policies.Inline[i].Labels = map[string]string{"team": "b"}
	}
	in.policies[0].Labels = map[string]string{"team": "a", "other": "x"}
	p := planned(t, in)
	if p.Digest() == was.Digest() {
		t.Error("the digest does not cover them")
	}
	for _, c := range p.Candidates {
		if c.Marks.Labels["team"] == nil || *c.Marks.Labels["team"] != "b" {
			t.Errorf("%s has %v", c.Key(), c.Marks)
		}
	}
	if o := p.Originals[0]; o.Key() != "a/old" || len(o.Was.Labels) != 1 || *o.Was.Labels["team"] != "a" {
		t.Errorf("%s had %v", o.Key(), o.Was)
	}
	in.policies[0].Labels["other"] = "y"
	if again := planned(t, in); again.Digest() != p.Digest() {
		t.Error("labels of others change the digest")
	}
	c := Change{Policies: in.policies, Candidates: []plan.Candidate{
		{Policy: plan.Policy(defaulted(&in.policies[3])), Marks: plan.MarksOf(in.rollout.Spec.Policies.Inline[0].Manifest())},
		{Policy: plan.Policy(defaulted(&in.policies[2]))}}}
	if got := c.Unmarked(); !slices.Equal(got, []string{"a/same"}) {
		t.Errorf("in force with other labels are %q", got)
	}
}
