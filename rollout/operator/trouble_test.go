package operator

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/verdict"
)

// inTrouble is a picture whose path fails for long without an explanation, from
// node-1 to node-2, beside a control on node-1 that fails just now. A policy of
// the run selects the server.
func inTrouble() *picture {
	p := aPicture(v1alpha1.ExpectAllow)
	p.failsFor(50, time.Minute)
	p.sights = p.sights[:1]
	p.sights[0].route.protocol = "TCP"
	nodes := map[string]string{"client": "node-1", "server": "node-2", "control": "node-1", "twin": "node-3"}
	for _, name := range []string{"control", "twin"} {
		p.world.pods[types.NamespacedName{Namespace: "a", Name: name}] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.9." + name[:1], Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	}
	for name, node := range nodes {
		p.world.pods[types.NamespacedName{Namespace: "a", Name: name}].Spec.NodeName = node
	}
	p.ours = func(pod *corev1.Pod) bool { return pod.Name == "server" }
	p.controls = []sight{{
		from: types.NamespacedName{Namespace: "a", Name: "control"}, failedAt: p.now.Add(-time.Second),
		route: route{path: -1, via: v1alpha1.ViaPodIP, protocol: "TCP", target: types.NamespacedName{Namespace: "a", Name: "twin"}, port: 8080},
		state: probes.CheckState{Last: probes.Reached, Connected: 100, Blocked: 3},
	}}
	return p
}

func TestWhoseTrouble(t *testing.T) {
	for _, tt := range []struct {
		name        string
		edit        func(*picture)
		shared, cut bool
	}{
		{"a control of the same node that fails alike shares it", func(*picture) {}, true, false},
		{"nothing excuses what the live policies deny", func(p *picture) { p.denied() }, false, true},
		{"a control that works shares nothing", func(p *picture) { p.controls[0].failedAt = time.Time{} }, false, true},
		{"nor one that failed long ago", func(p *picture) { p.controls[0].failedAt = p.now.Add(-10 * time.Second) }, false, true},
		{"nor one that never worked", func(p *picture) { p.controls[0].state.Connected = 0 }, false, true},
		{"nor one of other nodes", func(p *picture) { p.node("control", "node-9") }, false, true},
		{"one to the same target node does", func(p *picture) { p.node("control", "node-9"); p.node("twin", "node-2") }, true, false},
		{"nor one of another protocol", func(p *picture) { p.controls[0].route.protocol = "UDP" }, false, true},
		{"nor one by another way", func(p *picture) { p.controls[0].route.via = v1alpha1.ViaService }, false, true},
		{"nor one that the live policies deny", func(p *picture) {
			p.live = policiesAre(verdict.Policy{Namespace: "a", Name: "deny", Spec: deniesIngress("twin")})
			p.world.pods[types.NamespacedName{Namespace: "a", Name: "twin"}].Labels = map[string]string{"app": "twin"}
		}, false, true},
		{"nor one whose target a run selects", func(p *picture) { p.ours = func(pod *corev1.Pod) bool { return pod.Name == "twin" } }, false, true},
		{"nor one whose source a run selects", func(p *picture) { p.ours = func(pod *corev1.Pod) bool { return pod.Name == "control" } }, false, true},
		{"nor an attempt at the same target, once the candidate selects it", func(p *picture) {
			p.controls[0].route.target = types.NamespacedName{Namespace: "a", Name: "server"}
		}, false, true},
		{"a look-up that fails for everybody is shared", func(p *picture) { p.lookup(true) }, true, false},
		{"a look-up that fails for one is not", func(p *picture) { p.lookup(false) }, false, true},
		{"a look-up that the live policies deny is explained", func(p *picture) {
			p.lookup(true)
			p.live = policiesAre(verdict.Policy{Namespace: "a", Name: "deny", Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
				Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}}}}},
			}})
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := inTrouble()
			tt.edit(p)
			j := p.judge()[cell{0, v1alpha1.ViaPodIP}]
			if (j.shared != nil) != tt.shared || (j.cut != nil) != tt.cut || j.proved {
				t.Errorf("shared %v, cut %v, proved %v (%s); want %v, %v, never proved", j.shared != nil, j.cut != nil, j.proved, j.note, tt.shared, tt.cut)
			}
		})
	}
}

// What a rollback could not bring back is told with the facts that may excuse it.
func TestTheFactsOfARollbackTellWhoseTroubleItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*picture)
		want evidence.Flags
	}{
		"the target is gone": {func(p *picture) { delete(p.world.pods, p.sights[0].route.target) }, evidence.Moved},
		"it is not ready":    {func(p *picture) { p.world.pods[p.sights[0].route.target].Status.Conditions = nil }, evidence.Down},
		"a control fails":    {func(*picture) {}, evidence.Shared},
		"policies deny it":   {func(p *picture) { p.denied() }, evidence.Explained},
	} {
		p := inTrouble()
		p.scope = rollout.Nobody
		tt.edit(p)
		p.judge()
		if c := p.facted.Checks[0]; !c.Is(tt.want) {
			t.Errorf("%s: the flags are %b, want %b among them", name, c.Flags, tt.want)
		}
	}
}

func (p *picture) node(pod, node string) {
	p.world.pods[types.NamespacedName{Namespace: "a", Name: pod}].Spec.NodeName = node
}

// lookup makes the path fail because its name does not resolve, and the control
// pod ask the same name servers, with success or without.
func (p *picture) lookup(everybody bool) {
	p.sights[0].state.Last = probes.DNSFailure
	p.dns = []backend{{p.world.pods[types.NamespacedName{Namespace: "a", Name: "twin"}], "10.0.9.t", dnsPort}}
	p.controls[0].route = route{path: -1, via: v1alpha1.ViaService, protocol: "UDP"}
	if !everybody {
		p.controls[0].failedAt = time.Time{}
	}
}

func deniesIngress(app string) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
	}
}

// Failures that others share are held against a write of ours only if they began
// soon after it.
func TestSharedTroubleAfterAWrite(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrote []time.Duration // before the failures began
		want  int
	}{
		{"nothing was written", nil, 0},
		{"a write just before", []time.Duration{2 * time.Second}, 1},
		{"a write long before", []time.Duration{time.Minute}, 0},
		{"a write just before and one after", []time.Duration{2 * time.Second, -5 * time.Second}, 1},
		{"a write long before and one after", []time.Duration{time.Minute, -5 * time.Second}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := inTrouble()
			s := &session{plan: p.plan, settleTime: defaultSettle}
			for _, before := range tt.wrote {
				s.note(p.now.Add(-time.Minute).Add(-before))
			}
			p.recent = s.wroteSoonBefore
			p.judge()
			e := p.sum(rollout.Evidence{})
			if len(e.Unexplained) != tt.want || e.Proved > 0 {
				t.Errorf("unexplained %q, %d proved; want %d unexplained, none proved", e.Unexplained, e.Proved, tt.want)
			}
		})
	}
}

func TestWhichPathsMayVote(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*probes.CheckState)
		may  bool
	}{
		{"one lost packet among many takes nobody's vote", func(s *probes.CheckState) {
			s.Last, s.Streak, s.ConnectedSinceMark, s.BlockedSinceMark = probes.TimedOut, 1, 172799, 1
		}, true},
		{"one in twenty lost is a working path", func(s *probes.CheckState) { s.ConnectedSinceMark, s.BlockedSinceMark = 95, 5 }, true},
		{"one in five is none", func(s *probes.CheckState) { s.ConnectedSinceMark, s.BlockedSinceMark = 80, 20 }, false},
		{"a path that is down now is none, however long it worked", func(s *probes.CheckState) {
			s.Last, s.Streak, s.ConnectedSinceMark, s.BlockedSinceMark = probes.TimedOut, 20, 172780, 20
		}, false},
		{"two samples are too few", func(s *probes.CheckState) { s.ConnectedSinceMark = 2 }, false},
		{"old samples say nothing", func(s *probes.CheckState) { s.LastReceived = s.LastReceived.Add(-time.Minute) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, accepted := range []bool{false, true} {
				p := aPicture(v1alpha1.ExpectAllow)
				p.scope, p.sights = rollout.Nobody, p.sights[:1]
				p.plan.Paths[0].MayFail, p.plan.Paths[0].Via = accepted, []v1alpha1.Via{v1alpha1.ViaPodIP}
				tt.edit(&p.sights[0].state)
				j := p.judge()[cell{0, v1alpha1.ViaPodIP}]
				if j.works != tt.may || j.proved != tt.may || j.required != (tt.may || !accepted) {
					t.Errorf("accepted %v: works %v, proved %v, required %v (%s)", accepted, j.works, j.proved, j.required, j.note)
				}
				e := p.sum(rollout.Evidence{})
				if unqualified := len(e.Unqualified) > 0; unqualified != (!tt.may && !accepted) {
					t.Errorf("accepted %v: unqualified %q", accepted, e.Unqualified)
				}
			}
		})
	}
}

// A path whose Service is gone needs proof as before and has none.
func TestAPathThatNobodyTriesIsNotProved(t *testing.T) {
	for _, expect := range []v1alpha1.Expectation{v1alpha1.ExpectAllow, v1alpha1.ExpectDeny} {
		p := aPicture(expect)
		p.sights = nil
		j := p.judge()[cell{0, v1alpha1.ViaPodIP}]
		if !j.required || j.proved || j.note == "" {
			t.Errorf("%s: required %v, proved %v, note %q; want it required, unproved and said", expect, j.required, j.proved, j.note)
		}
	}
}
