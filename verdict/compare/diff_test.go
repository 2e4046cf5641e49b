package compare

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

func app(p *verdict.Pod) string { return p.Namespace + "/" + p.Labels["app"] }

// universe is every port that declarations and policies of random worlds speak
// of, and one that none does.
func universe() []verdict.Port {
	var all []verdict.Port
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		for n := int32(80); n < 85; n++ {
			all = append(all, verdict.Port{Number: n, Protocol: protocol})
		}
	}
	return append(all, verdict.Port{Number: 9999, Protocol: corev1.ProtocolTCP})
}

// bruteForce judges every pair of pods and every pod with every outside address
// on every port of the universe, and counts what changes by group.
func bruteForce(before, after *verdict.Snapshot, outside []netip.Addr) map[group]int {
	got := map[group]int{}
	try := func(from, to string, was, is verdict.Conn) {
		for _, port := range universe() {
			was.Port, was.Protocol, is.Port, is.Protocol = port.Number, port.Protocol, port.Number, port.Protocol
			if a, b := before.Judge(was).Decision, after.Judge(is).Decision; a != b {
				got[group{from, to, port.Number, port.Number, port.Protocol, a, b}]++
			}
		}
	}
	each := func(f func(was, is *verdict.Pod)) {
		for _, was := range before.Pods() {
			if id, ok := after.Find(was.Key()); ok {
				f(was, after.Pod(id))
			}
		}
	}
	each(func(w1, i1 *verdict.Pod) {
		each(func(w2, i2 *verdict.Pod) {
			if w1 != w2 {
				try(app(i1), app(i2), verdict.Conn{From: verdict.End{Pod: w1}, To: verdict.End{Pod: w2}}, verdict.Conn{From: verdict.End{Pod: i1}, To: verdict.End{Pod: i2}})
			}
		})
		for _, ip := range outside {
			end := verdict.End{IP: ip}
			try(app(i1), ip.String(), verdict.Conn{From: verdict.End{Pod: w1}, To: end}, verdict.Conn{From: verdict.End{Pod: i1}, To: end})
			try(ip.String(), app(i1), verdict.Conn{From: end, To: verdict.End{Pod: w1}}, verdict.Conn{From: end, To: verdict.End{Pod: i1}})
		}
	})
	return got
}

func TestDiffEqualsBruteForceOverAllPods(t *testing.T) {
	kinds := map[Kind]int{}
	grouped := 0
	for seed := range uint64(300) {
		r := dice{rand.New(rand.NewPCG(seed, 1))}
		w, pods := r.world(), r.pods()
		w2, pods2 := r.edited(w, pods)
		before, after := verdict.Compile(w, pods), verdict.Compile(w2, pods2)
		got := Diff(before, after, Options{Workload: app, Ports: universe(), DeclaredOnly: true, Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.77")}})
		want := bruteForce(before, after, got.Outside)
		lines, totals := map[group]int{}, Totals{}
		for _, c := range got.List {
			if c.OtherPort {
				continue // stands for ports outside the universe
			}
			key := group{c.From, c.To, c.Port, c.LastPort, c.Protocol, c.Before, c.After}
			lines[key] += c.Pairs
			kinds[c.Kind()]++
			if c.Pairs > 1 {
				grouped++
			}
			checkExample(t, before, after, c)
		}
		for _, c := range got.List {
			totals.add(c.Kind(), c.Pairs)
		}
		if !maps.Equal(lines, want) {
			t.Fatalf("seed %d:\n got  %v\n want %v", seed, lines, want)
		}
		if totals != got.Totals || got.LeftOff != 0 {
			t.Fatalf("seed %d: totals %+v, lines add up to %+v, %d left off", seed, got.Totals, totals, got.LeftOff)
		}
	}
	for _, k := range []Kind{Opened, Closed, BecameUnknown, BecameKnown} {
		if kinds[k] < 50 {
			t.Errorf("only %d connections %s: the generator makes too few", kinds[k], k)
		}
	}
	if grouped < 100 {
		t.Errorf("only %d lines stand for more than one pair", grouped)
	}
}

// checkExample judges the example again, in both worlds, and compares the rules.
func checkExample(t *testing.T, before, after *verdict.Snapshot, c Change) {
	t.Helper()
	is := verdict.Conn{From: c.ExampleFrom, To: c.ExampleTo, Port: c.Port, Protocol: c.Protocol}
	was := is
	for _, end := range []*verdict.End{&was.From, &was.To} {
		if end.Pod != nil {
			id, _ := before.Find(end.Pod.Key())
			end.Pod = before.Pod(id)
		}
	}
	b, a := before.Judge(was), after.Judge(is)
	if b.Decision != c.Before || a.Decision != c.After || b.Rule() != c.BeforeRule || a.Rule() != c.AfterRule {
		t.Fatalf("%s -> %s %d: listed %s (%s) to %s (%s), judged %s (%s) to %s (%s)", c.From, c.To, c.Port,
			c.Before, c.BeforeRule, c.After, c.AfterRule, b.Decision, b.Rule(), a.Decision, a.Rule())
	}
}

// Without ports given, no port is missed that a policy speaks of, and the
// stretches that lines stand for are right to their last port.
func TestDiffFindsThePortsByItself(t *testing.T) {
	stretches, rests, missed := 0, 0, 0
	for seed := range uint64(120) {
		r := dice{rand.New(rand.NewPCG(seed, 2))}
		w, pods := r.world(), r.pods()
		w2, _ := r.edited(w, pods)
		before, after := verdict.Compile(w, pods), verdict.Compile(w2, pods)
		got := Diff(before, after, Options{PodsOnly: true})
		for c := range connections(before) {
			judge := func(port int32) [2]verdict.Decision {
				c := c
				c.Port = port
				return [2]verdict.Decision{before.Judge(c).Decision, after.Judge(c).Decision}
			}
			want, rest := judge(c.Port), judge(9999)
			line, ok := standsFor(got, c, spoken(c, w, w2))
			switch {
			case ok && want != [2]verdict.Decision{line.Before, line.After}:
				t.Fatalf("seed %d: %s -> %s %d/%s goes from %s to %s, listed is %+v", seed, c.From, c.To, c.Port, c.Protocol, want[0], want[1], line)
			case ok && line.LastPort > line.Port:
				stretches++
			case ok && line.OtherPort:
				rests++
			case ok, want[0] == want[1]:
			case want == rest && (len(c.To.Pod.Ports) > 0 || c.Protocol != corev1.ProtocolTCP):
				missed++ // a port that nobody speaks of, on a target that declares others
			default:
				t.Fatalf("seed %d: %s -> %s %d/%s goes from %s to %s and is not listed", seed, c.From, c.To, c.Port, c.Protocol, want[0], want[1])
			}
		}
	}
	if stretches < 100 || rests < 100 || missed < 100 {
		t.Errorf("%d changes in stretches, %d and %d on other ports: the generator makes too few", stretches, rests, missed)
	}
}

// connections are all pairs of pods on all ports around those of random worlds.
func connections(s *verdict.Snapshot) func(yield func(verdict.Conn) bool) {
	return func(yield func(verdict.Conn) bool) {
		for _, from := range s.Pods() {
			for _, to := range s.Pods() {
				for n := int32(78); n < 96; n++ {
					for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
						c := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: n, Protocol: protocol}
						if from != to && !yield(c) {
							return
						}
					}
				}
			}
		}
	}
}

// spoken reports whether a policy that decides about either end speaks of the
// port, other than of all ports.
func spoken(c verdict.Conn, worlds ...verdict.World) bool {
	for _, w := range worlds {
		for _, p := range w.Policies {
			for d, end := range map[networkingv1.PolicyType]*verdict.Pod{"Egress": c.From.Pod, "Ingress": c.To.Pod} {
				on, _ := p.Isolates(*end, d)
				if on && slices.ContainsFunc(class.Spans(p, d), func(s class.Span) bool {
					return !s.Whole() && s.Protocol == c.Protocol && s.First <= c.Port && c.Port <= s.Last
				}) {
					return true
				}
			}
		}
	}
	return false
}

// standsFor finds the line that stands for a connection: one of its port, else
// of a stretch with its port in it, else of all other ports.
func standsFor(all Changes, c verdict.Conn, spoken bool) (Change, bool) {
	declared := slices.ContainsFunc(c.To.Pod.Ports, func(p verdict.Port) bool {
		return p.Number == c.Port && (p.Protocol == c.Protocol || p.Protocol == "" && c.Protocol == corev1.ProtocolTCP)
	})
	of := func(holds func(Change) bool) int {
		return slices.IndexFunc(all.List, func(l Change) bool {
			return l.From == c.From.Pod.Key() && l.To == c.To.Pod.Key() && l.Protocol == c.Protocol && holds(l)
		})
	}
	i := of(func(l Change) bool { return !l.OtherPort && l.Port == c.Port && l.LastPort == c.Port })
	if i < 0 && !declared {
		i = of(func(l Change) bool { return !l.OtherPort && l.Port <= c.Port && c.Port <= l.LastPort })
	}
	if i < 0 && !declared && !spoken {
		i = of(func(l Change) bool { return l.OtherPort })
	}
	if i < 0 {
		return Change{}, false
	}
	return all.List[i], true
}

// An ipBlock tells the addresses of its block from all others, and
// each of the two sets is tried though nobody named an address.
func TestDiffTriesOneAddressOfEachSet(t *testing.T) {
	w := verdict.World{Policies: []verdict.Policy{{Namespace: "ai", Name: "in"}}}
	w.Policies[0].Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "203.0.113.0/24", Except: []string{"203.0.113.0/28"}}}}}}
	pods := []verdict.Pod{{Namespace: "ai", Name: "a", Ports: []verdict.Port{{Number: 80}}}}
	got := Diff(verdict.Compile(verdict.World{}, pods), verdict.Compile(w, pods), Options{})
	var closed []string
	for _, c := range got.List {
		if c.Kind() != Closed || c.To != "ai/a" {
			t.Errorf("unexpected %+v", c)
		}
		closed = append(closed, c.From)
	}
	if want := []string{"1.1.1.1", "203.0.113.0"}; !slices.Equal(closed, want) || len(got.Outside) != 3 {
		t.Errorf("closed from %v of %v, want %v: the except and the rest of the world", closed, got.Outside, want)
	}
}

func TestDiffSaysWhatItLeavesOff(t *testing.T) {
	var pods []verdict.Pod
	for i := range 10 {
		pods = append(pods, verdict.Pod{Namespace: "ai", Name: fmt.Sprint("p", i), Ports: []verdict.Port{{Number: 80}}})
	}
	closed := verdict.World{Policies: []verdict.Policy{{Namespace: "ai", Name: "deny"}}}
	got := Diff(verdict.Compile(verdict.World{}, pods), verdict.Compile(closed, append(pods[1:], verdict.Pod{Namespace: "ai", Name: "q"})), Options{Max: 5, PodsOnly: true})
	if len(got.List) != 5 || got.LeftOff != 9*8-5 || got.Closed != 9*8 || got.Changed() != got.Closed {
		t.Errorf("got %d lines, %d left off, totals %+v", len(got.List), got.LeftOff, got.Totals)
	}
	if !slices.Equal(got.OnlyBefore, []string{"ai/p0"}) || !slices.Equal(got.OnlyAfter, []string{"ai/q"}) {
		t.Errorf("only before %v, only after %v", got.OnlyBefore, got.OnlyAfter)
	}
}
