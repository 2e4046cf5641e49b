package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// behindService is a picture whose path goes through a Service with so many pods
// behind it, called server-0 and so on, of which the live policies shut those named.
// A witness gets through it. All policies are in force.
func behindService(expect v1alpha1.Expectation, pods int, shut ...int) *picture {
	p := aPicture(expect)
	key := types.NamespacedName{Namespace: "a", Name: "server"}
	delete(p.world.pods, key)
	p.scope, p.plan.Paths[0].Via = rollout.Everyone, []v1alpha1.Via{v1alpha1.ViaService}
	p.plan.Paths[0].To.Service = v1alpha1.ServiceTarget{Namespace: "a", Name: "server", Port: 80}
	p.world.services = map[types.NamespacedName]*corev1.Service{key: {Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", Ports: []corev1.ServicePort{{Port: 80}}}}}
	slice := &discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To[int32](8080)}}}
	for i := range pods {
		name, ip := fmt.Sprintf("server-%d", i), fmt.Sprintf("10.0.1.%d", i)
		p.world.pods[types.NamespacedName{Namespace: "a", Name: name}] = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": "server", "number": fmt.Sprint(i)}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: name}})
	}
	p.world.slices = map[types.NamespacedName][]*discoveryv1.EndpointSlice{key: {slice}}
	for i := range p.sights {
		p.sights[i].route = route{via: v1alpha1.ViaService, protocol: "TCP", witness: p.sights[i].route.witness}
	}
	var all []verdict.Policy
	for _, i := range shut {
		all = append(all, verdict.Policy{Namespace: "a", Name: fmt.Sprintf("shut-%d", i), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"number": fmt.Sprint(i)}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		}})
	}
	p.live = policiesAre(all...)
	return p
}

// tried makes so many attempts get through and fail since the mark, the newest as last says.
func (p *picture) tried(connected, failed int64, last probes.Outcome, streak int) {
	p.sights[0].state = probes.CheckState{Attempts: connected + failed, Connected: connected, Blocked: failed, ConnectedSinceMark: connected, BlockedSinceMark: failed, StoppedSinceMark: failed,
		Last: last, Streak: streak, StreakSinceMark: streak, LastReceived: p.now, Newest: p.now, StreakSince: p.now.Add(-time.Second)}
}

// One of many pods behind a Service is open: attempts through it are stopped many
// times in a row, and the path is open all the same.
func TestAForbiddenPathThroughAServiceWithAnOpenPod(t *testing.T) {
	byAddress := func(p *picture, connected int64) {
		open := types.NamespacedName{Namespace: "a", Name: "server-1"}
		s := p.sights[0]
		s.id, s.route = "p0/server-1", route{via: v1alpha1.ViaPodIP, target: open, address: "10.0.1.1", port: 8080, protocol: "TCP"}
		s.state.ConnectedSinceMark = connected
		p.sights = append(p.sights, s)
	}
	for _, tt := range []struct {
		name         string
		shut         []int
		edit         func(*picture)
		proved, leak bool
	}{
		{"all are shut", []int{0, 1}, func(p *picture) { p.tried(0, 20, probes.TimedOut, 20) }, true, false},
		{"one is open, and a few attempts got through", []int{0}, func(p *picture) { p.tried(3, 40, probes.TimedOut, 20) }, false, true},
		{"one is open, though nothing got through so far", []int{0}, func(p *picture) { p.tried(0, 20, probes.TimedOut, 20) }, false, false},
		{"one is open by these policies, and something else shuts it at its address", []int{0}, func(p *picture) {
			p.tried(0, 20, probes.TimedOut, 20)
			byAddress(p, 0)
		}, true, false},
		{"but not always", []int{0}, func(p *picture) {
			p.tried(0, 20, probes.TimedOut, 20)
			byAddress(p, 1)
		}, false, false},
		{"one attempt got through before the policies took effect everywhere", []int{0, 1}, func(p *picture) { p.tried(1, 20, probes.TimedOut, 20) }, true, false},
		{"nobody changes the policies, so one attempt that got through is enough", []int{0, 1}, func(p *picture) {
			p.unseen = true
			p.tried(1, 20, probes.TimedOut, 20)
		}, false, true},
		{"also where the line that spoke of it was followed by lost ones", []int{0, 1}, func(p *picture) {
			p.unseen, p.since = true, p.now.Add(-time.Minute)
			p.tried(0, 20, probes.TimedOut, 20)
			p.sights[0].connectedAt = p.now.Add(-time.Second)
		}, false, true},
		{"but not of an attempt before the look began", []int{0, 1}, func(p *picture) {
			p.unseen, p.since = true, p.now.Add(-time.Minute)
			p.tried(0, 20, probes.TimedOut, 20)
			p.sights[0].connectedAt = p.now.Add(-2 * time.Minute)
		}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := behindService(v1alpha1.ExpectDeny, 2, tt.shut...)
			tt.edit(p)
			if len(p.sights) > 2 { // attempts by address have a row of their own
				p.plan.Paths[0].Via = append(p.plan.Paths[0].Via, v1alpha1.ViaPodIP)
			}
			j := p.judge()[cell{0, v1alpha1.ViaService}]
			if j.proved != tt.proved || (j.leak != nil) != tt.leak || !j.required {
				t.Errorf("required %v, proved %v, leak %v (%s); want proved %v, leak %v", j.required, j.proved, j.leak != nil, j.note, tt.proved, tt.leak)
			}
			if j.leak != nil && j.leak.state.Last != probes.Reached {
				t.Errorf("the leak is told by an attempt that ended %s", j.leak.state.Last)
			}
			if !tt.proved && !tt.leak && j.note == "" {
				t.Error("nobody is told why it is not proved")
			}
		})
	}
}

// What gets through a path that must be shut when all is enforced is a failure,
// whatever the live policies say, and what came before counts for nothing.
func TestAttemptsThatGetThroughAreCounted(t *testing.T) {
	p := behindService(v1alpha1.ExpectDeny, 2, 0)
	var r record
	r.begin(p.plan, p.now)
	p.tried(7, 3, probes.TimedOut, 3)
	r.skip(p)
	p.tried(9, 40, probes.TimedOut, 20)
	p.judge()
	r.tally(p, verifyStep, verifyStep)
	row := r.rows[cell{0, v1alpha1.ViaService}]
	if row.Attempts != 39 || row.Failures != 2 || row.Finding != report.Leak {
		t.Errorf("%d attempts, %d failures, %s; want 39, 2 and a leak", row.Attempts, row.Failures, row.Finding)
	}
}

// The live policies shut one of six pods behind a Service. Most attempts through it
// get through, and the path is cut all the same; without such a policy as many
// failures are a bad network.
func TestAPathThroughAServiceThatPoliciesCutInPart(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		shut                   []int
		edit                   func(*picture)
		proved, cut, undecided bool
	}{
		{"no policy shuts any, and the network loses some", nil, func(p *picture) { p.tried(58, 11, probes.Reached, 2) }, true, false, false},
		{"nor where the newest ones were lost", nil, func(p *picture) { p.tried(58, 11, probes.TimedOut, 2) }, false, false, true},
		{"one is shut, and its share fails", []int{3}, func(p *picture) { p.tried(58, 11, probes.Reached, 2) }, false, true, false},
		{"at the moment, too", []int{3}, func(p *picture) { p.tried(58, 11, probes.TimedOut, 1) }, false, true, false},
		{"one is shut, and far fewer fail", []int{3}, func(p *picture) { p.tried(97, 3, probes.Reached, 2) }, false, false, true},
		{"one is shut, and too few were tried", []int{3}, func(p *picture) { p.tried(4, 2, probes.Reached, 2) }, false, false, true},
		{"one is shut, and no attempt was sent there", []int{3}, func(p *picture) { p.tried(60, 0, probes.Reached, 60) }, false, false, false},
		{"one is shut, and the policies did not take effect yet", []int{3}, func(p *picture) { p.settled = false; p.tried(58, 11, probes.Reached, 2) }, false, false, false},
		{"the one that is shut is not ready, so nothing is sent there", []int{3}, func(p *picture) {
			p.world.pods[types.NamespacedName{Namespace: "a", Name: "server-3"}].Status.Conditions = nil
			p.tried(58, 11, probes.Reached, 2)
		}, false, false, true},
		{"one is shut by these policies, and reached at its address all the same", []int{3}, func(p *picture) {
			p.plan.Paths[0].Via = append(p.plan.Paths[0].Via, v1alpha1.ViaPodIP)
			s := p.sights[0]
			s.id, s.route = "p0/server-3", route{via: v1alpha1.ViaPodIP, target: types.NamespacedName{Namespace: "a", Name: "server-3"}, address: "10.0.1.3", port: 8080, protocol: "TCP"}
			p.sights = append(p.sights, s)
			p.tried(58, 2, probes.Reached, 2)
		}, true, false, false},
		{"it is a warning", []int{3}, func(p *picture) {
			p.plan.Paths[0].Criticality = v1alpha1.CriticalityWarning
			p.tried(58, 11, probes.Reached, 2)
		}, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := behindService(v1alpha1.ExpectAllow, 6, tt.shut...)
			tt.edit(p)
			cells := p.judge()
			j := cells[cell{0, v1alpha1.ViaService}]
			if j.proved != tt.proved || (j.cut != nil) != tt.cut || j.undecided != tt.undecided {
				t.Errorf("proved %v, cut %v, undecided %v (%s); want %v, %v, %v", j.proved, j.cut != nil, j.undecided, j.note, tt.proved, tt.cut, tt.undecided)
			}
			for _, f := range findCuts(p, cells, "all", p.now) {
				if e := f.entry; tt.cut && (e.Target != "a/server-3" ||
					!strings.HasPrefix(e.Rule, "a/shut-3 ingress: no rule allows") || e.Outcome != "11 of 69 attempts failed") {
					t.Errorf("the cut is told as %+v", e)
				}
			}
		})
	}
}

// A path that policies deny in part before the change did not work before it.
func TestAPathThatIsCutInPartBeforeTheChangeHasNoVote(t *testing.T) {
	for shut, works := range map[int]bool{3: false, 99: true} {
		p := behindService(v1alpha1.ExpectAllow, 20, shut)
		p.scope = rollout.Nobody
		p.tried(96, 4, probes.Reached, 2)
		if j := p.judge()[cell{0, v1alpha1.ViaService}]; j.works != works {
			t.Errorf("pod %d shut: works %v (%s), want %v", shut, j.works, j.note, works)
		}
	}
}

// A rollout that cuts one of six pods behind a Service, which its suite tries by
// the Service only, is rolled back.
func TestACutOfOnePodBehindAServiceIsRolledBack(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	slice := &discoveryv1.EndpointSlice{}
	if err := s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: "server-x"}, slice); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < 6; i++ {
		name := fmt.Sprintf("server-%d", i)
		pod := s.pod(name, map[string]string{"app": "server", "pod": name})
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{pod.Status.PodIP}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: s.ns, Name: name}})
	}
	if err := s.c.client.Update(s.ctx, slice); err != nil {
		t.Fatal(err)
	}
	suite := s.suite()
	suite.Spec.Paths = suite.Spec.Paths[:1]
	suite.Spec.Paths[0].Via = []v1alpha1.Via{v1alpha1.ViaService}
	s.beginWith(s.accepting([]v1alpha1.CandidatePolicy{
		s.policy("shut", map[string]string{"pod": "server-3"}, networkingv1.PolicyTypeIngress, "nobody", 8080)}), suite)
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if len(rep.Cuts) == 0 || rep.Cuts[0].Via != "Service" || rep.Cuts[0].Target != s.ns+"/server-3" || !strings.HasPrefix(rep.Cuts[0].Rule, s.ns+"/shut ingress: no rule allows") {
		t.Errorf("cuts %+v; want the path through the Service, cut at server-3 by policy shut", rep.Cuts)
	}
}
