package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// randomChange adds policies, replaces some and removes some.
func randomChange(r *rand.Rand) Change {
	c := Change{
		World:      verdict.World{Namespaces: platformNamespaces, Policies: randomPolicies(r, "k")},
		Candidates: randomPolicies(r, []string{"k", "c"}[r.IntN(2)]),
		Pods: []verdict.Pod{workloadPod("ai", "a", "1"), workloadPod("ai", "b", "1"), workloadPod("ai", "b", "2"),
			workloadPod("apps", "a", "1"), workloadPod("apps", "c", "1")},
	}
	for _, p := range c.World.Policies {
		if r.IntN(3) == 0 {
			c.Remove = append(c.Remove, p.Key())
		}
	}
	return c
}

// liveStates are the worlds of the three states as the API server would hold
// them: one set of objects, and the label of the pod decides which select it.
// What goes is its own bridge, as the protocol has it.
func liveStates(t *testing.T, c Change) func(state PodState, conn verdict.Conn) verdict.Verdict {
	t.Helper()
	planned, err := Bridges(c.World.Policies, c.Candidates)
	if err != nil {
		t.Fatal(err)
	}
	live := c.World
	live.Policies = slices.Concat(c.kept(), c.news())
	for i, p := range c.replaced() {
		p.Name = fmt.Sprint("original-", i)
		p.Spec.PodSelector = OriginalSelector(p.Spec.PodSelector, HoldOf(Few), "r1")
		live.Policies = append(live.Policies, p)
	}
	for i, b := range planned {
		live.Policies = append(live.Policies, verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprint("bridge-", i), Spec: BridgeSpec(b, BridgeSelector(b, Live, "r1"))})
	}
	before, during := verdict.Compile(c.World, nil), verdict.Compile(live, nil)
	return func(state PodState, conn verdict.Conn) verdict.Verdict {
		switch state {
		case AtBaseline:
			return before.Judge(conn)
		case AtEnforced:
			for _, end := range []*verdict.End{&conn.From, &conn.To} {
				p := *end.Pod
				p.Labels = labels.Merge(p.Labels, labels.Set{v1alpha1.LabelEnforced: "r1"})
				end.Pod = &p
			}
		}
		return during.Judge(conn)
	}
}

// TestProveIsRightAboutRandomChanges compares every statement of a proof with the
// objects that a rollout would install, pod by pod and mix by mix.
func TestProveIsRightAboutRandomChanges(t *testing.T) {
	var exposed, failed, freed, cyclic, ordered int
	for seed := range uint64(700) {
		c := randomChange(rand.New(rand.NewPCG(seed, 11)))
		edges := everyEdge(c.Pods)
		p, err := Prove(c, edges, ProofOptions{Ports: []verdict.Port{{Number: 80}}})
		if err != nil {
			t.Fatal(err)
		}
		judge := liveStates(t, c)
		for _, e := range edges {
			s := sides{judge(AtBaseline, e.Conn), judge(AtBridged, e.Conn), judge(AtEnforced, e.Conn)}
			checkFailure(t, seed, p, e, s)
			open := slices.ContainsFunc(mixes, func(m Mix) bool { return s.in(m) != verdict.Deny })
			want := open && s[AtBaseline].Decision == verdict.Deny && s[AtEnforced].Decision == verdict.Deny
			i := slices.IndexFunc(p.Exposures, func(x Exposure) bool {
				return x.Port.Number == 80 && WorkloadByLabels(x.From) == WorkloadByLabels(e.Conn.From.Pod) && WorkloadByLabels(x.To) == WorkloadByLabels(e.Conn.To.Pod)
			})
			if want != (i >= 0) {
				t.Fatalf("seed %d: %s -> %s: listed %t, opened by a mix %t", seed, e.Conn.From, e.Conn.To, i >= 0, want)
			}
			if !want {
				continue
			}
			exposed++
			if p.Waves == nil {
				cyclic++
				continue
			}
			ordered++
			if m, ok := openedInWaves(c, p.Waves, e.Conn, s); ok {
				t.Fatalf("seed %d: waves %q open %s -> %s in mix %+v", seed, p.Waves, e.Conn.From, e.Conn.To, m)
			}
		}
		checkWaves(t, seed, c, p)
		failed += len(p.Failures)
		freed += checkUnisolations(t, seed, c, p)
		if (p.Waves == nil) != (len(p.Cyclic) > 0) && len(c.news())+len(c.replaced()) > 0 {
			t.Fatalf("seed %d: %d waves and %d exposures in a circle", seed, len(p.Waves), len(p.Cyclic))
		}
	}
	if exposed < 100 || failed < 1000 || freed < 100 || cyclic < 20 || ordered < 20 {
		t.Errorf("the generator is lopsided: %d exposures (%d ordered, %d in circles), %d failures, %d pods freed", exposed, ordered, cyclic, failed, freed)
	}
}

func everyEdge(pods []verdict.Pod) []Edge {
	var all []Edge
	for i := range pods {
		for j := range pods {
			if i != j {
				c := verdict.Conn{From: verdict.End{Pod: &pods[i]}, To: verdict.End{Pod: &pods[j]}, Port: 80, Protocol: corev1.ProtocolTCP}
				all = append(all, Edge{Path: fmt.Sprint(i, "-", j), Conn: c, Expect: v1alpha1.ExpectAllow})
			}
		}
	}
	return all
}

func checkFailure(t *testing.T, seed uint64, p Proof, e Edge, s sides) {
	t.Helper()
	var want []Mix
	for _, m := range mixes {
		if s.in(m) != verdict.Allow {
			want = append(want, m)
		}
	}
	i := slices.IndexFunc(p.Failures, func(f Failure) bool { return f.Edge.Path == e.Path })
	switch {
	case i < 0 && len(want) > 0:
		t.Fatalf("seed %d: %s -> %s fails in %v and is not listed", seed, e.Conn.From, e.Conn.To, want)
	case i >= 0 && (!reflect.DeepEqual(p.Failures[i].Mixes, want) || p.Failures[i].Rule == ""):
		t.Fatalf("seed %d: %s -> %s fails in %v, listed is %+v", seed, e.Conn.From, e.Conn.To, want, p.Failures[i])
	}
}

// checkWaves wants every changed policy in exactly one wave, if there are any.
func checkWaves(t *testing.T, seed uint64, c Change, p Proof) {
	t.Helper()
	got, want := map[string]int{}, map[string]int{}
	for _, w := range p.Waves {
		for _, key := range w.Policies {
			got[key]++
		}
	}
	for _, q := range slices.Concat(c.replaced(), c.news()) {
		want[q.Key()] = 1
	}
	if p.Waves != nil && !maps.Equal(got, want) {
		t.Fatalf("seed %d: waves %q, changed are %v", seed, p.Waves, want)
	}
}

// openedInWaves goes through the mixes that are left when the policies are rolled
// out in waves: before a wave its pods are at the baseline, after it enforced.
func openedInWaves(c Change, waves []Wave, conn verdict.Conn, s sides) (Mix, bool) {
	source, target := waveOf(c, waves, conn.From.Pod, out), waveOf(c, waves, conn.To.Pod, in)
	for _, m := range mixes {
		reachable := source == target ||
			source < target && (m.Target == AtBaseline || m.Source == AtEnforced) ||
			source > target && (m.Source == AtBaseline || m.Target == AtEnforced)
		if reachable && s.in(m) != verdict.Deny {
			return m, true
		}
	}
	return Mix{}, false
}

// waveOf is the only wave in which the pod's direction changes; -1: in none.
func waveOf(c Change, waves []Wave, p *verdict.Pod, d networkingv1.PolicyType) int {
	at := map[int]bool{}
	for _, q := range slices.Concat(c.replaced(), c.news()) {
		if on, _ := q.Isolates(*p, d); on {
			at[slices.IndexFunc(waves, func(w Wave) bool { return slices.Contains(w.Policies, q.Key()) })] = true
		}
	}
	switch len(at) {
	case 0:
		return -1
	case 1:
		return slices.Collect(maps.Keys(at))[0]
	}
	panic(fmt.Sprintf("%s changes in several waves: %v", p.Key(), at))
}

// checkUnisolations compares with every pod, and every direction.
func checkUnisolations(t *testing.T, seed uint64, c Change, p Proof) int {
	t.Helper()
	freed := 0
	for _, pod := range c.Pods {
		for _, d := range directions {
			before, _ := anyIsolates(c.World.Policies, pod, d)
			after, _ := anyIsolates(c.After().Policies, pod, d)
			listed := slices.ContainsFunc(p.Unisolated, func(u Unisolation) bool { return u.Direction == d && slices.Contains(u.Pods, pod.Key()) })
			if listed != (before && !after) {
				t.Fatalf("seed %d: %s %s: isolated before %t, after %t, listed %t", seed, pod.Key(), d, before, after, listed)
			}
			if listed {
				freed++
			}
		}
	}
	for _, u := range p.Unisolated {
		ns, _, _ := strings.Cut(u.Policy, "/")
		pod := verdict.Pod{Namespace: ns, Labels: u.Labels}
		before, _ := anyIsolates(c.replaced(), pod, u.Direction)
		after, _ := anyIsolates(c.After().Policies, pod, u.Direction)
		if !before || after {
			t.Fatalf("seed %d: %+v: a pod with these labels is isolated before %t, after %t", seed, u, before, after)
		}
	}
	return freed
}

// What goes may be what isolates pods that are not there yet.
func TestUnisolationsAreFoundForPodsOfTomorrow(t *testing.T) {
	c := Change{World: verdict.World{Policies: parse(t, []string{`ai/old {podSelector: {matchLabels: {tier: db}}}`})},
		Candidates: parse(t, []string{`ai/new {podSelector: {matchLabels: {tier: db, app: pg}}}`}), Remove: []string{"ai/old"}}
	p, err := Prove(c, nil, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Unisolation{{Policy: "ai/old", Selector: c.World.Policies[0].Spec.PodSelector, Direction: in, Labels: map[string]string{"tier": "db"}}}
	if !reflect.DeepEqual(p.Unisolated, want) {
		t.Errorf("got %+v, want %+v", p.Unisolated, want)
	}
	if got := p.Refusals(); len(got) != 1 || !strings.Contains(got[0], "{tier=db} would not be isolated for ingress") {
		t.Errorf("got %q", got)
	}
	p, err = Prove(c, nil, ProofOptions{AllowUnisolation: parse(t, []string{"ai/accepted {}"})})
	if err != nil || !p.Unisolated[0].Allowed || len(p.Refusals()) != 0 {
		t.Errorf("it is allowed by name: got %+v, %v", p, err)
	}
}

// batch may not leave and the gateway is open; afterwards batch may leave and
// the gateway is closed. With the gateway first there is never a way through. A
// second pair the other way round between the same policies makes a circle.
func TestWavesEnforceOneEndFirst(t *testing.T) {
	base := []string{`apps/closed {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress]}`}
	next := []string{
		`apps/open {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress], egress: [{}]}`,
		`ai/gateway {podSelector: {matchLabels: {app: gateway}}}`,
	}
	prove := func(base, next []string) Proof {
		t.Helper()
		w := verdict.World{Namespaces: platformNamespaces, Policies: parse(t, base)}
		p, err := Prove(Change{World: w, Candidates: parse(t, next), Pods: platform()}, nil, ProofOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prove(base, next)
	if want := []Wave{{"1", []string{"ai/gateway"}}, {"2", []string{"apps/open"}}}; !reflect.DeepEqual(p.Waves, want) || len(p.Cyclic) != 0 || p.Exposures[0].First != TargetFirst {
		t.Errorf("waves %q, in circles %q, want %q", p.Waves, lines(p.Cyclic), want)
	}
	base = append(base, `apps/chat {podSelector: {matchLabels: {app: chat}}, policyTypes: [Egress], egress: [{}]}`,
		`ai/model {podSelector: {matchLabels: {app: model}}}`)
	next[0] = `apps/open {policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {tier: ai}}, podSelector: {matchLabels: {app: gateway}}}]}]}`
	next[1] = `ai/gateway {ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}`
	p = prove(base, next)
	if len(p.Cyclic) != 0 || len(p.Waves) != 2 {
		t.Errorf("one direction only: waves %q, in circles %q", p.Waves, lines(p.Cyclic))
	}
}

// Two policies that could select one pod of tomorrow stay in one wave, though
// only one of them has to wait.
func TestPoliciesThatCouldMeetOnAPodStayTogether(t *testing.T) {
	w := verdict.World{Namespaces: platformNamespaces, Policies: parse(t, []string{`apps/closed {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress]}`})}
	for _, tt := range []struct {
		selector string
		want     []Wave
	}{
		{`{matchLabels: {tier: b}}`, []Wave{{"1", []string{"ai/gateway"}}, {"2", []string{"apps/open", "apps/other"}}}},
		{`{matchLabels: {app: chat}}`, []Wave{{"1", []string{"ai/gateway", "apps/other"}}, {"2", []string{"apps/open"}}}},
	} {
		c := Change{World: w, Pods: platform(), Candidates: parse(t, []string{
			`apps/open {podSelector: {matchLabels: {app: batch}}, policyTypes: [Egress], egress: [{}]}`,
			`ai/gateway {podSelector: {matchLabels: {app: gateway}}}`,
			`apps/other {podSelector: ` + tt.selector + `, policyTypes: [Egress], egress: [{}]}`})}
		p, err := Prove(c, nil, ProofOptions{})
		if err != nil || !reflect.DeepEqual(p.Waves, tt.want) {
			t.Errorf("%s: got waves %q, %v, want %q", tt.selector, p.Waves, err, tt.want)
		}
	}
}

func TestACircleOfExposuresIsRefused(t *testing.T) {
	// Both namespaces are closed for egress and open for ingress; the candidates
	// turn both around, so each has to be enforced before the other.
	w := verdict.World{Namespaces: platformNamespaces, Policies: parse(t, []string{`apps/out {policyTypes: [Egress]}`, `ai/out {policyTypes: [Egress]}`})}
	c := Change{World: w, Pods: platform(), Candidates: parse(t, []string{
		`apps/turn {policyTypes: [Ingress, Egress], egress: [{}]}`, `ai/turn {policyTypes: [Ingress, Egress], egress: [{}]}`})}
	p, err := Prove(c, nil, ProofOptions{Ports: []verdict.Port{{Number: 80}}})
	if err != nil || p.Waves != nil || len(p.Cyclic) == 0 {
		t.Fatalf("got waves %q, in circles %q, %v", p.Waves, lines(p.Cyclic), err)
	}
	if got := strings.Join(p.Refusals(), "\n"); !strings.Contains(got, "no order of the policies avoids it") || !strings.Contains(got, "ai/model-1") {
		t.Errorf("got %q", got)
	}
}

// A policy that is replaced is its own bridge: what it allows is allowed until
// the target is enforced, and the failure names the rule that is too narrow then.
func TestReplacedPoliciesKeepWhatTheyAllowUntilEnforced(t *testing.T) {
	w := verdict.World{Namespaces: platformNamespaces, Policies: parse(t, []string{
		`ai/gateway {podSelector: {matchLabels: {app: gateway}}, ingress: [{from: [{namespaceSelector: {matchLabels: {tier: apps}}}]}]}`})}
	pods := platform()
	edge := Edge{Path: "chat", Expect: v1alpha1.ExpectAllow, Conn: verdict.Conn{From: verdict.End{Pod: &pods[2]}, To: verdict.End{Pod: &pods[3]}, Port: 4000}}
	c := Change{World: w, Pods: pods, Candidates: parse(t, []string{
		`ai/gateway {podSelector: {matchLabels: {app: gateway}}, ingress: [{from: [{namespaceSelector: {matchLabels: {tier: apps}}}], ports: [{port: 4001}]}]}`})}
	p, err := Prove(c, []Edge{edge}, ProofOptions{})
	if err != nil || len(p.Failures) != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	f := p.Failures[0]
	if f.Mixes[0] != (Mix{AtEnforced, AtEnforced}) || f.Rule != "ai/gateway ingress: no rule allows 4000/TCP from apps/chat-1" {
		t.Errorf("got %+v", f)
	}
	for _, m := range f.Mixes {
		if m.Target != AtEnforced {
			t.Errorf("the replaced policy allows it until the target is enforced: %+v", m)
		}
	}
	if len(f.Mixes) != 3 || len(p.Exposures) != 0 || len(p.Unisolated) != 0 {
		t.Errorf("got %+v", p)
	}
}
