package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// aPicture has one path by address from a probe pod to a ready server, which
// works, and a witness that gets through to it.
func aPicture(expect v1alpha1.Expectation) *picture {
	pod := func(name, ip string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": name}}, Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}}
	}
	server := types.NamespacedName{Namespace: "a", Name: "server"}
	client := types.NamespacedName{Namespace: "a", Name: "client"}
	now := time.Now()
	state := probes.CheckState{Last: probes.Reached, Streak: 9, StreakSinceMark: 9, ConnectedSinceMark: 9, LastReceived: now}
	to := route{via: v1alpha1.ViaPodIP, target: server, address: "10.0.0.2", port: 8080}
	witness := to
	witness.witness = true
	return &picture{
		plan:  &Plan{Plan: plan.Plan{Interval: time.Second, Timeout: time.Second, Paths: []plan.Path{{Path: v1alpha1.Path{Name: "p", Expect: expect}, WitnessPath: -1}}}},
		world: &world{pods: map[types.NamespacedName]*corev1.Pod{client: pod("client", "10.0.0.1"), server: pod("server", "10.0.0.2")}},
		live:  policiesAre(),
		scope: rollout.Few, settled: true, threshold: 3, now: now,
		sights: []sight{{from: client, route: to, state: state}, {from: client, route: witness, state: state}},
	}
}

// policiesAre is a world with these policies.
func policiesAre(all ...verdict.Policy) *verdict.Snapshot {
	return verdict.Compile(verdict.World{Namespaces: map[string]map[string]string{"a": {}}, Policies: all}, nil)
}

// denied makes the live policies deny everything to the server.
func (p *picture) denied() {
	p.live = policiesAre(verdict.Policy{Namespace: "a", Name: "deny", Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
	}})
}

func TestADecisionNamesEveryPathThatARuleCuts(t *testing.T) {
	p := aPicture(v1alpha1.ExpectAllow)
	p.plan.Paths = append(p.plan.Paths, p.plan.Paths[0], p.plan.Paths[0])
	p.plan.Paths[1].Name, p.plan.Paths[2].Name = "q", "r"
	p.denied()
	p.sights = p.sights[:1]
	p.fails(1) // too few to decide on, by itself
	decisive, works := p.sights[0], p.sights[0]
	decisive.route.path, decisive.state.Streak = 1, 3
	works.route.path, works.state.Last = 2, probes.Reached
	p.sights = append(p.sights, decisive, works)
	var names []string
	for _, f := range findCuts(p, p.judge(), "few", p.now) {
		names = append(names, f.entry.Path)
	}
	if !slices.Equal(names, []string{"q", "p"}) {
		t.Errorf("cuts: got %v, want q, which was decided on, then p, which fails for the same rule", names)
	}
	p.live = policiesAre()
	if found := findCuts(p, p.judge(), "few", p.now); len(found) != 0 {
		t.Errorf("cuts: got %+v; a single failure that no policy explains is none", found)
	}
}

// fails makes the newest n attempts of the path fail, one every 20 ms.
func (p *picture) fails(n int) {
	p.failsFor(n, time.Duration(n)*20*time.Millisecond)
}

// failsFor makes the newest n attempts of the path fail, over a time.
func (p *picture) failsFor(n int, over time.Duration) {
	p.sights[0].state = probes.CheckState{Last: probes.TimedOut, Streak: n, StreakSinceMark: n, BlockedSinceMark: int64(n), StoppedSinceMark: int64(n),
		LastReceived: p.now, Newest: p.now, StreakSince: p.now.Add(-over)}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		expect                      v1alpha1.Expectation
		edit                        func(*picture)
		required, proved, cut, leak bool
	}{
		{"a path that works holds", v1alpha1.ExpectAllow, func(*picture) {}, true, true, false, false},
		{"two samples are no proof", v1alpha1.ExpectAllow, func(p *picture) { p.sights[0].state.ConnectedSinceMark = 2 }, true, false, false, false},
		{"failures that a policy explains are a cut", v1alpha1.ExpectAllow, func(p *picture) { p.denied(); p.fails(3) }, true, false, true, false},
		{"one failure fewer is none yet", v1alpha1.ExpectAllow, func(p *picture) { p.denied(); p.fails(2) }, true, false, false, false},
		{"failures that no policy explains must be more", v1alpha1.ExpectAllow, func(p *picture) { p.failsFor(8, time.Minute) }, true, false, false, false},
		{"and last: a target that restarts fails twenty times a second", v1alpha1.ExpectAllow, func(p *picture) { p.fails(100) }, true, false, false, false},
		{"and count in the end", v1alpha1.ExpectAllow, func(p *picture) { p.failsFor(9, 3*time.Second) }, true, false, true, false},
		{"a name that does not resolve needs an explanation too", v1alpha1.ExpectAllow, func(p *picture) { p.fails(100); p.sights[0].state.Last = probes.DNSFailure }, true, false, false, false},
		{"success that is old proves nothing", v1alpha1.ExpectAllow, func(p *picture) { p.sights[0].state.LastReceived = p.now.Add(-20 * time.Second) }, true, false, false, false},
		{"success that alternates with failure proves nothing", v1alpha1.ExpectAllow, func(p *picture) { p.sights[0].state.BlockedSinceMark = 9 }, true, false, false, false},
		{"a target that is not ready excuses nothing that a policy explains", v1alpha1.ExpectAllow, func(p *picture) {
			p.denied()
			p.fails(9)
			p.world.pods[p.sights[0].route.target].Status.Conditions = nil
		}, true, false, true, false},
		{"it excuses what no policy explains", v1alpha1.ExpectAllow, func(p *picture) {
			p.failsFor(99, time.Minute)
			p.world.pods[p.sights[0].route.target].Status.Conditions = nil
		}, true, false, false, false},
		{"an address that moved proves nothing", v1alpha1.ExpectAllow, func(p *picture) { p.denied(); p.fails(9); p.sights[0].route.address = "10.0.0.9" }, true, false, false, false},
		{"a path that never worked has no vote", v1alpha1.ExpectAllow, func(p *picture) { p.denied(); p.fails(9); p.qualified = map[cell]bool{} }, false, false, false, false},
		{"a warning path has no vote", v1alpha1.ExpectAllow, func(p *picture) {
			p.denied()
			p.fails(9)
			p.plan.Paths[0].Criticality = v1alpha1.CriticalityWarning
		}, false, false, false, false},
		{"reached is right while the live policies allow it", v1alpha1.ExpectDeny, func(*picture) {}, false, false, false, false},
		{"blocked with a witness holds", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(3) }, true, true, false, false},
		{"blocked with a success among the newest attempts is no proof", v1alpha1.ExpectDeny, func(p *picture) {
			p.denied()
			p.fails(3)
			p.sights[0].state.ConnectedSinceMark, p.sights[0].state.StreakSinceMark = 1, 2
		}, true, false, false, false},
		{"failures that nothing stopped are no proof, whatever the newest one was", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(9); p.sights[0].state.StoppedSinceMark = 2 }, true, false, false, false},
		{"blocked long ago is no proof", v1alpha1.ExpectDeny, func(p *picture) {
			p.denied()
			p.fails(3)
			p.sights[0].state.LastReceived = p.now.Add(-20 * time.Second)
		}, true, false, false, false},
		{"blocked without one proves nothing", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(3); p.sights = p.sights[:1] }, true, false, false, false},
		{"an old witness is none", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(3); p.sights[1].state.LastReceived = p.now.Add(-time.Minute) }, true, false, false, false},
		{"a probe pod that is gone leaves the cell without proof", v1alpha1.ExpectDeny, func(p *picture) {
			p.denied()
			delete(p.world.pods, p.sights[0].from)
		}, true, false, false, false},
		{"a witness at the pod's other address is none", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(3); p.sights[1].route.address = "fd00::2" }, true, false, false, false},
		{"a witness of the time before the scope took effect is none", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(3); p.sights[1].state.ConnectedSinceMark = 0 }, true, false, false, false},
		{"reached although denied is a leak", v1alpha1.ExpectDeny, func(p *picture) { p.denied() }, true, false, false, true},
		{"not before the scope settled", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.settled = false }, true, false, false, false},
		{"nor for attempts before the mark", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.sights[0].state.StreakSinceMark = 2 }, true, false, false, false},
		{"reached when all is enforced is a leak whatever is live", v1alpha1.ExpectDeny, func(p *picture) { p.scope = rollout.Everyone }, true, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPicture(tt.expect)
			tt.edit(p)
			j := p.judge()[cell{0, v1alpha1.ViaPodIP}]
			if j == nil {
				t.Fatal("no judgement")
			}
			if j.required != tt.required || j.proved != tt.proved || (j.cut != nil) != tt.cut || (j.leak != nil) != tt.leak {
				t.Errorf("required %v, proved %v, cut %v, leak %v; want %v, %v, %v, %v",
					j.required, j.proved, j.cut != nil, j.leak != nil, tt.required, tt.proved, tt.cut, tt.leak)
			}
		})
	}
}

// A pod that answers at its address says nothing of a Service that leads nowhere: a
// forbidden path through it is closed by a policy only if somebody gets through it. A
// plan of an earlier release has no such witness; there a pod must be ready at least.
func TestAForbiddenPathThroughAServiceNeedsAWitnessThroughIt(t *testing.T) {
	both := []v1alpha1.Via{v1alpha1.ViaService, v1alpha1.ViaPodIP}
	for _, tt := range []struct {
		name   string
		ways   []v1alpha1.Via
		edit   func(*picture)
		proved bool
	}{
		{"a witness by address", both, func(*picture) {}, false},
		{"one through the Service", both, func(p *picture) { p.sights[1].route = route{via: v1alpha1.ViaService, witness: true} }, true},
		{"one that fails through the Service", both, func(p *picture) {
			p.sights = append(p.sights, p.sights[1])
			p.sights[2].route, p.sights[2].state.Last = route{via: v1alpha1.ViaService, witness: true}, probes.TimedOut
		}, false},
		{"a path that must work, by address", both, func(p *picture) {
			p.plan.Paths = append(p.plan.Paths, plan.Path{Path: v1alpha1.Path{Name: "q", Expect: v1alpha1.ExpectAllow}})
			p.plan.Paths[0].WitnessPath, p.sights[1].route.path, p.sights[1].route.witness = 1, 1, false
		}, false},
		{"a witness by address, in a plan of an earlier release", nil, func(*picture) {}, true},
		{"but for a pod that is not ready", nil, func(p *picture) { p.world.pods[p.sights[1].route.target].Status.Conditions = nil }, false},
	} {
		p := aPicture(v1alpha1.ExpectDeny)
		p.plan.Paths[0].Via, p.plan.Paths[0].WitnessWays = []v1alpha1.Via{v1alpha1.ViaService}, tt.ways
		p.scope = rollout.Everyone
		p.fails(9)
		p.sights[0].route = route{via: v1alpha1.ViaService}
		tt.edit(p)
		if j := p.judge()[cell{0, v1alpha1.ViaService}]; !j.required || j.proved != tt.proved {
			t.Errorf("%s: required %v, proved %v (%s)", tt.name, j.required, j.proved, j.note)
		}
	}
}

// A witness tries the target by every way of the forbidden path, whoever it is.
func TestAWitnessGoesByEveryWay(t *testing.T) {
	for allowed, want := range map[v1alpha1.Via]int{v1alpha1.ViaPodIP: -1, v1alpha1.ViaService: 0} {
		w, p := named()
		p.Candidates = nil
		p.Paths[0].Via = []v1alpha1.Via{allowed}
		deny := p.Paths[0]
		deny.Name, deny.Expect, deny.Via = "shut", v1alpha1.ExpectDeny, []v1alpha1.Via{v1alpha1.ViaService}
		p.Paths = append(p.Paths, deny)
		no := &refusal{}
		p.settleWitnesses(w, p.prospect(w), no)
		got := p.Paths[1]
		if len(no.reasons) > 0 || got.WitnessPath != want || want < 0 && got.WitnessIdentity != controlIdentity {
			t.Errorf("beside a path by %s: witness path %d, identity %q, refused %q; want path %d, or the control pod", allowed, got.WitnessPath, got.WitnessIdentity, no.reasons, want)
		}
		if routes, _ := p.checksFrom(w, controlIdentity); want < 0 && (!routes["w1/service"].witness || routes["w1/service"].via != v1alpha1.ViaService) {
			t.Errorf("the control pod tries %v, and not the Service", routes)
		}
	}
}

func TestAPathThroughAServiceNeedsMoreFailures(t *testing.T) {
	p := aPicture(v1alpha1.ExpectAllow)
	if pod, svc := p.needed(v1alpha1.ViaPodIP), p.needed(v1alpha1.ViaService); pod != 3 || svc != 9 {
		t.Errorf("needed %d by address and %d through a Service, want 3 and 9", pod, svc)
	}
}

// A run may commit with less than full coverage. Its report and its message do not
// say that a path was proved which was proved in an earlier step only.
func TestWhatTheLastStepDidNotProveDoesNotHold(t *testing.T) {
	p := aPicture(v1alpha1.ExpectDeny)
	p.plan.Paths[0].Via = []v1alpha1.Via{v1alpha1.ViaPodIP}
	p.denied()
	p.fails(3)
	s := &session{plan: p.plan}
	s.record.begin(p.plan, p.now)
	p.judge()
	s.record.tally(p, "stage/1", "all")
	row := s.record.rows[cell{0, v1alpha1.ViaPodIP}]
	if row.Finding != report.Holds {
		t.Fatalf("%+v; want it to hold", row)
	}
	p.scope, p.sights = rollout.Everyone, p.sights[:1]
	end := turn{at: rollout.State{Phase: v1alpha1.PhaseCommitting}, next: rollout.State{Phase: v1alpha1.PhaseCommitted}, picture: p, cells: p.judge(),
		evidence: rollout.Evidence{Required: 10, Proved: 9}}
	message := s.message(end, nil)
	s.record.log(evidence.Entry{Turn: s.decision(end, message, nil)}, p.now)
	if row.Finding != report.Inconclusive || row.Note == "" || !strings.Contains(message, "9 of 10") {
		t.Errorf("finding %s, %q; message %q; want it inconclusive, and nine of ten", row.Finding, row.Note, message)
	}
}

// While it is not decided whether a path is cut, no gate may open.
func TestFailuresThatAreNotDecidedOnAreTold(t *testing.T) {
	for name, edit := range map[string]func(*picture){
		"too few for a policy that denies it": func(p *picture) { p.denied(); p.fails(2) },
		"not for long":                        func(p *picture) { p.fails(100) },
	} {
		p := aPicture(v1alpha1.ExpectAllow)
		edit(p)
		p.judge()
		e := p.sum(rollout.Evidence{})
		if !slices.Equal(e.Failing, []string{"p"}) || len(e.Cut) > 0 {
			t.Errorf("%s: failing %q, cut %q; want it failing and not cut", name, e.Failing, e.Cut)
		}
	}
}
