package operator

import (
	"fmt"
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
	r.tally(p, p.judge(), verifyStep)
	row := r.rows[cell{0, v1alpha1.ViaService}]
	if row.Attempts != 39 || row.Failures != 2 || row.Finding != report.Leak {
		t.Errorf("%d attempts, %d failures, %s; want 39, 2 and a leak", row.Attempts, row.Failures, row.Finding)
	}
}
