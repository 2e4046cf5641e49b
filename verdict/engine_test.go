package verdict_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// cluster is the one of these tests: small, and with everything in it that needs
// more than the short way.
func cluster() (verdict.World, []verdict.Pod) {
	w, pods := platform.New(platform.Size{Pods: 200, Policies: 90, DualStack: true})
	long := networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "fd00::/8"}}}}
	for port := int32(4000); port < 4100; port += 4 {
		p := intstr.FromInt32(port)
		long.Ports = append(long.Ports, networkingv1.NetworkPolicyPort{Port: &p})
	}
	name := intstr.FromString("http")
	byName := networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: &name}}}
	w.Policies = append(w.Policies,
		verdict.Policy{Namespace: "team-001", Name: "long", Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{long}}},
		verdict.Policy{Namespace: "team-001", Name: "named", Spec: networkingv1.NetworkPolicySpec{Egress: []networkingv1.NetworkPolicyEgressRule{byName}}})
	return w, pods
}

var ports = []int32{53, 443, 3999, 4000, 4001, 4096, 4097, 8000, 8080, 8090, 9090, 65535}

// judged is Decide, held against Judge and against a view of the port.
func judged(t *testing.T, s *verdict.Snapshot, from, to verdict.PodID, port int32, protocol corev1.Protocol) verdict.Decision {
	t.Helper()
	got := s.Decide(from, to, port, protocol)
	a, b := s.Pod(from), s.Pod(to)
	want := verdict.Unknown
	if a != nil && b != nil {
		want = s.Judge(verdict.Conn{From: verdict.End{Pod: a}, To: verdict.End{Pod: b}, Port: port, Protocol: protocol}).Decision
	}
	if view := s.On(port, protocol).Decide(from, to); got != want || view != want {
		t.Fatalf("%d → %d on %d/%s: Decide says %s, a view %s, Judge %s", from, to, port, protocol, got, view, want)
	}
	return got
}

// Where policies tell more ports apart than there are numbers for their classes,
// the last ones are decided the long way.
func TestMorePortsAreToldApartThanThereAreNumbers(t *testing.T) {
	w, pods := cluster()
	var crowd networkingv1.NetworkPolicySpec
	for i := range 300 {
		p := intstr.FromInt32(20000 + int32(i))
		crowd.Ingress = append(crowd.Ingress, networkingv1.NetworkPolicyIngressRule{
			Ports: []networkingv1.NetworkPolicyPort{{Port: &p}},
			From:  []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.128.0.0/%d", 8+i%20)}}, {IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("fd00::/%d", 8+i/20)}}},
		})
	}
	w.Policies = append(w.Policies, verdict.Policy{Namespace: "team-001", Name: "crowd", Spec: crowd})
	s := verdict.Compile(w, pods)
	var targets []verdict.PodID
	for id, p := range s.Pods() {
		if p.Namespace == "team-001" {
			targets = append(targets, id)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[verdict.Decision]int{}
	for range 500 {
		from, to := verdict.PodID(r.IntN(len(pods))), targets[r.IntN(len(targets))]
		seen[judged(t, s, from, to, 20000+r.Int32N(302)-1, "TCP")]++
	}
	if seen[verdict.Allow] == 0 || seen[verdict.Deny] == 0 {
		t.Errorf("%v: nothing was told apart", seen)
	}
}

func TestDecideSaysWhatJudgeSays(t *testing.T) {
	w, pods := cluster()
	s := verdict.Compile(w, pods)
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[verdict.Decision]int{}
	for range 12000 {
		protocol := []corev1.Protocol{"", "TCP", "UDP", "SCTP", "ICMP"}[r.IntN(5)]
		seen[judged(t, s, verdict.PodID(r.IntN(205)-2), verdict.PodID(r.IntN(205)-2), ports[r.IntN(len(ports))]-int32(r.IntN(30)/29*100000), protocol)]++
	}
	if seen[verdict.Allow] < 100 || seen[verdict.Deny] < 500 || seen[verdict.Unknown] < 500 {
		t.Errorf("too few of some decision to prove anything: %v", seen)
	}
}

// Changes are made to one engine; each snapshot on the way must judge like one
// that is compiled from its own world, and go on to do so.
func TestASnapshotIsThatOfItsWorldWhateverCameBefore(t *testing.T) {
	w, pods := cluster()
	e := verdict.New(w, pods)
	r := rand.New(rand.NewPCG(2, 2))
	kinds := mix(w, pods)
	var kept []*verdict.Snapshot
	for i := range 180 {
		kinds[i%len(kinds)].make(e, r.IntN(1000))
		for _, port := range ports {
			e.Snapshot().On(port, "") // makes every row, so that one that should have been made anew is noticed
		}
		if i%6 == 0 {
			kept = append(kept, e.Snapshot())
		}
	}
	for _, s := range append(kept, e.Snapshot()) {
		var now []verdict.Pod
		for _, p := range s.Pods() {
			now = append(now, *p)
		}
		fresh := verdict.Compile(s.World(), now)
		for range 300 {
			a, b, port := now[r.IntN(len(now))], now[r.IntN(len(now))], ports[r.IntN(len(ports))]
			got, want := decided(t, s, a, b, port), decided(t, fresh, a, b, port)
			if got != want {
				t.Fatalf("%s → %s on %d: %s, but %s in a snapshot of the same world made at once", a.Key(), b.Key(), port, got, want)
			}
		}
	}
}

func decided(t *testing.T, s *verdict.Snapshot, a, b verdict.Pod, port int32) verdict.Decision {
	t.Helper()
	from, ok := s.Find(a.Key())
	to, also := s.Find(b.Key())
	if !ok || !also {
		t.Fatalf("%s or %s is not found", a.Key(), b.Key())
	}
	return s.Decide(from, to, port, "TCP")
}

func TestPodsOfOneClassAreJudgedAlike(t *testing.T) {
	w, pods := cluster()
	s := verdict.Compile(w, pods)
	byClass := map[verdict.Class][]verdict.PodID{}
	for id := range s.Pods() {
		byClass[s.Class(id)] = append(byClass[s.Class(id)], id)
	}
	several := 0
	for _, group := range byClass {
		if len(group) < 2 {
			continue
		}
		several++
		a, b := group[0], group[1]
		for other := range s.Pods() {
			if other == a || other == b {
				continue
			}
			if s.Decide(a, other, 8000, "") != s.Decide(b, other, 8000, "") || s.Decide(other, a, 8000, "") != s.Decide(other, b, 8000, "") {
				t.Fatalf("%s and %s are of one class, but are judged differently with %s", s.Pod(a).Key(), s.Pod(b).Key(), s.Pod(other).Key())
			}
		}
	}
	if several < 5 {
		t.Errorf("only %d classes of several pods: nothing is proved", several)
	}
}

func TestAWorldComesBackAsItWas(t *testing.T) {
	w, pods := cluster()
	w.Namespaces["bare"] = nil
	w.Foreign = []verdict.Foreign{{Kind: "CiliumNetworkPolicy", Namespace: "bare", Name: "x"}}
	slices.SortFunc(w.Policies, func(a, b verdict.Policy) int { return compare(a.Key(), b.Key()) })
	if got := verdict.Compile(w, pods).World(); !reflect.DeepEqual(got, w) {
		t.Errorf("got %+v\nwant %+v", got, w)
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Readers take no lock: under the race detector, none of what they read is
// written, and a decision on one snapshot never changes.
func TestReadersAndAWriterDoNotMeet(t *testing.T) {
	w, pods := cluster()
	e := verdict.New(w, pods)
	var stop atomic.Bool
	var readers sync.WaitGroup
	for seed := range uint64(2) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 3))
			for !stop.Load() {
				s := e.Snapshot()
				from, to, port := verdict.PodID(r.IntN(200)), verdict.PodID(r.IntN(200)), ports[r.IntN(len(ports))]
				if a, b := s.Decide(from, to, port, ""), s.Decide(from, to, port, ""); a != b {
					t.Errorf("%d → %d on %d: %s, then %s", from, to, port, a, b)
				}
				s.Class(from)
			}
		})
	}
	kinds := mix(w, pods)
	for i := range 200 {
		kinds[i%len(kinds)].make(e, i)
	}
	stop.Store(true)
	readers.Wait()
}

func TestChangesOfOneStepAreSeenTogether(t *testing.T) {
	e := verdict.New(verdict.World{}, nil)
	before := e.Snapshot()
	e.Apply(func(c *verdict.Changes) {
		for i := range 3 {
			c.SetPod(verdict.Pod{Namespace: "a", Name: fmt.Sprint(i)})
		}
		c.DeletePod("a/1")
		c.SetPod(verdict.Pod{Namespace: "a", Name: "again"})
		c.DeletePod("a/never")
	})
	var names []string
	for _, p := range e.Snapshot().Pods() {
		names = append(names, p.Name)
	}
	if want := []string{"0", "again", "2"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	for range before.Pods() {
		t.Error("the snapshot before the step has a pod")
	}
}
