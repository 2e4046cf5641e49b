package rollout

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// A namespace is a wave, in the author's order, unless an exposure stands against it.
// What goes or is replaced is in the wave of the candidates that have its pods then.
func TestWavesAreCutAsTheAuthorWantsUnlessAnExposureStandsAgainstIt(t *testing.T) {
	const closed = `apps/closed {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress]}`
	const open = `apps/open {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress], egress: [{}]}`
	const gateway = `ai/gateway {podSelector: {matchLabels: {app: gateway}}}`
	const chat = `apps/chat {podSelector: {matchLabels: {app: chat}}, ingress: [{}]}`
	apart := []string{`apps/chat {podSelector: {matchLabels: {app: chat}}}`, `ai/model {podSelector: {matchLabels: {app: model}}}`}
	byNamespace := func(first ...string) v1alpha1.Waves {
		return v1alpha1.Waves{By: v1alpha1.WaveByNamespace, First: first}
	}
	for _, tt := range []struct {
		name       string
		base, next []string
		remove     []string
		by         v1alpha1.Waves
		want       string
	}{
		{"nobody wants any", nil, apart, nil, v1alpha1.Waves{}, "1: ai/model apps/chat"},
		{"None is the same", nil, apart, nil, v1alpha1.Waves{By: v1alpha1.WaveByNone}, "1: ai/model apps/chat"},
		{"by namespace, by name", nil, apart, nil, byNamespace(), "ai: ai/model; apps: apps/chat"},
		{"the author's namespaces first", nil, apart, nil, byNamespace("apps"), "apps: apps/chat; ai: ai/model"},
		{"one namespace is one wave", nil, apart[:1], nil, byNamespace(), "apps: apps/chat"},
		{"nothing changes", apart, apart, nil, byNamespace(), ""},
		{"what goes is in the wave of what comes for its pods", []string{`apps/wide {podSelector: {matchLabels: {app: chat}}, ingress: [{}]}`}, apart, []string{"apps/wide"}, byNamespace("apps"), "apps: apps/chat apps/wide; ai: ai/model"},
		{"and opens something where it goes too early", []string{closed}, apart, []string{"apps/closed"}, byNamespace(), "ai: ai/model; apps: apps/chat; apps-2: apps/closed"},
		{"an exposure makes waves where nobody wants any", []string{closed}, []string{open, gateway, chat}, nil, v1alpha1.Waves{}, "1: ai/gateway apps/chat; 2: apps/open"},
		{"an exposure comes before the author's order", []string{closed}, []string{open, gateway, chat}, nil, byNamespace("apps"), "ai: ai/gateway; apps: apps/chat apps/open"},
		{"namespaces are cut up where each has something that must come before the other's", []string{closed, `ai/closed {podSelector: {matchLabels: {app: model}}, policyTypes: [Egress]}`},
			[]string{open, gateway, `apps/chat {podSelector: {matchLabels: {app: chat}}}`, `ai/open {podSelector: {matchLabels: {app: model}}, policyTypes: [Egress], egress: [{}]}`}, nil, byNamespace(),
			"ai: ai/gateway; apps: apps/chat; ai-2: ai/open; apps-2: apps/open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Change{World: verdict.World{Namespaces: platformNamespaces, Policies: parse(t, tt.base)}, Candidates: parse(t, tt.next), Remove: tt.remove, Pods: platform()}
			p, err := Prove(c, nil, ProofOptions{Waves: tt.by})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range p.Waves {
				got = append(got, w.Name+": "+strings.Join(w.Policies, " "))
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), tt.want)
			}
		})
	}
}

// Wave after wave, each on what the one before has left: together they are the
// change, none has an exposure (I3), and what works before the change and after it
// works in every mix of every wave.
func TestRandomChangesInWavesAreSafeWaveByWave(t *testing.T) {
	ports := []verdict.Port{{Number: 80}}
	var several, ordered int
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 12))
		c := randomChange(r)
		by := v1alpha1.Waves{By: []v1alpha1.WaveBy{"", v1alpha1.WaveByNamespace}[r.IntN(2)]}
		if by.By != "" && r.IntN(2) == 0 {
			by.First = []string{"apps"}
		}
		whole, err := Prove(c, everyEdge(c.Pods), ProofOptions{Ports: ports, Waves: by})
		if err != nil {
			t.Fatal(err)
		}
		checkWaves(t, seed, c, whole)
		if len(whole.Waves) > 1 {
			several++
		}
		if len(whole.Waves) > 1 && len(whole.Exposures) > 0 {
			ordered++
		}
		world := c.World
		for _, w := range whole.Waves {
			part := c.Of(w)
			part.World = world
			p, err := Prove(part, everyEdge(c.Pods), ProofOptions{Ports: ports})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Exposures) > 0 || len(p.Waves) != 1 || !slices.Equal(p.Waves[0].Policies, w.Policies) {
				t.Fatalf("seed %d: wave %+v has exposures %q, and would be cut into %+v", seed, w, lines(p.Exposures), p.Waves)
			}
			for _, f := range p.Failures {
				if f.OnTheWay() {
					t.Fatalf("seed %d: wave %+v: %s", seed, w, f)
				}
				if !slices.ContainsFunc(whole.Failures, func(g Failure) bool { return g.Edge.Path == f.Edge.Path }) {
					t.Fatalf("seed %d: wave %+v fails an edge that the change keeps: %s", seed, w, f)
				}
			}
			world = part.After()
		}
		if whole.Waves != nil && !samePolicies(world.Policies, c.After().Policies) {
			t.Fatalf("seed %d: the waves end in %v, want %v", seed, world.Policies, c.After().Policies)
		}
	}
	if several < 50 || ordered < 20 {
		t.Errorf("the generator is lopsided: %d changes in several waves, %d of them because of exposures", several, ordered)
	}
}

func samePolicies(a, b []verdict.Policy) bool {
	byKey := func(p, q verdict.Policy) int { return strings.Compare(p.Key(), q.Key()) }
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, byKey)
	slices.SortFunc(b, byKey)
	return slices.EqualFunc(a, b, func(p, q verdict.Policy) bool { return p.Key() == q.Key() && SameSpec(p.Spec, q.Spec) })
}

// A later wave observes once, shortly, and without gates; all else goes as it is.
func TestALaterWaveObservesShortly(t *testing.T) {
	long := func(name string, s Scope, phase v1alpha1.Phase) StepPlan {
		return StepPlan{Name: name, Scope: s, Phase: phase, Gate: Gate{Soak: 24 * 60 * 60 * 1e9, MinCoveragePercent: 95}}
	}
	steps := []StepPlan{long("day", Nobody, v1alpha1.PhaseObserve), long("night", Nobody, v1alpha1.PhaseObserve),
		long("shadow", ProbePods, v1alpha1.PhaseCanary), long("few", Few, v1alpha1.PhaseCanary), long("all", Everyone, v1alpha1.PhaseEnforce)}
	short := steps[0]
	short.Gate.Soak = baselineSoak
	if got, want := LaterWave(steps), []StepPlan{short, steps[2], steps[3], steps[4]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := LaterWave(steps[2:]); !reflect.DeepEqual(got, steps[2:]) {
		t.Errorf("nothing observes, got %+v", got)
	}
}

func TestNamespacesThatComeFirstHavePolicies(t *testing.T) {
	got := UnknownFirst(v1alpha1.Waves{By: v1alpha1.WaveByNamespace, First: []string{"data", "dada"}}, []string{"ai", "data"})
	if len(got) != 1 || !strings.Contains(got[0], `"dada"`) || !strings.Contains(got[0], "ai, data") {
		t.Errorf("got %q", got)
	}
}
