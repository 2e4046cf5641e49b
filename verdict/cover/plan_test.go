package cover

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

func netpol(t *testing.T, key, spec string) verdict.Policy {
	t.Helper()
	var p verdict.Policy
	p.Namespace, p.Name, _ = strings.Cut(key, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func random(r *rand.Rand, pods int) *verdict.Snapshot {
	one := func(all ...string) string { return all[r.IntN(len(all))] }
	var all []verdict.Pod
	for i := range pods {
		p := verdict.Pod{Namespace: "ai", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": one("a", "b", "c")}, Node: one("n1", "n2", "")}
		if r.IntN(2) == 0 {
			p.Ports = []verdict.Port{{Number: int32(80 + r.IntN(2))}}
		}
		p.HostNetwork = r.IntN(8) == 0
		all = append(all, p)
	}
	selector := func() metav1.LabelSelector {
		if r.IntN(3) == 0 {
			return metav1.LabelSelector{}
		}
		return metav1.LabelSelector{MatchLabels: map[string]string{"app": one("a", "b", "c", "nobody")}}
	}
	rule := func() (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
		sel := selector()
		switch r.IntN(4) {
		case 0:
			peers = []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}}}
		case 1, 2:
			peers = []networkingv1.NetworkPolicyPeer{{PodSelector: &sel}}
		}
		if number := intstr.FromInt32(int32(80 + r.IntN(3))); r.IntN(2) == 0 {
			ports = []networkingv1.NetworkPolicyPort{{Port: &number}}
		}
		return peers, ports
	}
	var w verdict.World
	for i := range r.IntN(4) {
		p := verdict.Policy{Namespace: "ai", Name: fmt.Sprint("k", i)}
		p.Spec.PodSelector = selector()
		p.Spec.PolicyTypes = [][]networkingv1.PolicyType{{"Ingress"}, {"Egress"}, {"Ingress", "Egress"}}[r.IntN(3)]
		for range r.IntN(3) {
			peers, ports := rule()
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
		}
		for range r.IntN(3) {
			peers, ports := rule()
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
		}
		w.Policies = append(w.Policies, p)
	}
	if r.IntN(2) == 0 {
		w.Namespaces = map[string]map[string]string{"ai": nil}
		for i := range r.IntN(3) {
			w.ClusterPolicies = append(w.ClusterPolicies, clusterPolicy(r, fmt.Sprint("c", i), selector))
		}
	}
	return verdict.Compile(w, all)
}

// attempts lists every connection between two pods of a random world that could
// matter, with what it exercises, worked out pod by pod.
func attempts(s *verdict.Snapshot) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, from := range s.Pods() {
		for _, to := range s.Pods() {
			for _, port := range []int32{80, 81, 82, 65535} {
				if from != to {
					p := Probe{From: from, To: to, Port: port}
					all[p.String()] = does(s, p)
				}
			}
		}
	}
	return all
}

func does(s *verdict.Snapshot, p Probe) map[string]bool {
	kind := class.NewVocabulary(s.World()).Signature
	got := map[string]bool{"classes " + kind(p.From) + kind(p.To): true}
	if p.From.Node != "" && p.To.Node != "" {
		got["nodes "+p.From.Node+p.To.Node] = true
	}
	c := verdict.Conn{From: verdict.End{Pod: p.From}, To: verdict.End{Pod: p.To}, Port: p.Port}
	v := s.Judge(c)
	deny := map[networkingv1.PolicyType][2]verdict.Decision{"Egress": {v.Egress.Decision, v.Ingress.Decision}, "Ingress": {v.Ingress.Decision, v.Egress.Decision}}
	for d, subject := range map[networkingv1.PolicyType]*verdict.Pod{"Egress": p.From, "Ingress": p.To} {
		own, _ := sides(v, d)
		alone := deny[d] == [2]verdict.Decision{verdict.Deny, verdict.Allow}
		if alone && !isCluster(own.Policy) {
			got["denial "+string(d)+kind(subject)] = true
		}
		if alone || v.Decision == verdict.Allow {
			for _, r := range decisive(s, c, d) {
				got["rule "+r.String()] = true
			}
		}
		for _, policy := range s.World().Policies {
			if on, _ := policy.Isolates(*subject, d); !on || v.Decision != verdict.Allow || isCluster(own.Policy) {
				continue
			}
			for i := range count(policy.Spec, d) {
				only := policy
				only.Spec.Ingress, only.Spec.Egress = nil, nil
				if d == "Egress" {
					only.Spec.Egress = policy.Spec.Egress[i : i+1]
				} else {
					only.Spec.Ingress = policy.Spec.Ingress[i : i+1]
				}
				only.Spec.PolicyTypes = []networkingv1.PolicyType{d}
				alone := verdict.Compile(verdict.World{Policies: []verdict.Policy{only}}, nil).Judge(c)
				if alone.Decision == verdict.Allow && alone.Rule() != "not isolated" {
					got["rule "+Rule{policy.Key(), d, i}.String()] = true
				}
			}
		}
	}
	return got
}

func TestAPlanExercisesAllThatAnyConnectionDoes(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(400) {
		s := random(rand.New(rand.NewPCG(seed, 1)), 2+int(seed%7))
		possible, done := map[string]bool{}, map[string]bool{}
		for _, does := range attempts(s) {
			for what := range does {
				possible[what] = true
			}
		}
		p := Plan(s, Options{})
		for _, probe := range p.List {
			c := verdict.Conn{From: verdict.End{Pod: probe.From}, To: verdict.End{Pod: probe.To}, Port: probe.Port, Protocol: probe.Protocol}
			if got := s.Judge(c).Decision; got != probe.Expect {
				t.Fatalf("seed %d: %s expects %s, judged %s", seed, probe, probe.Expect, got)
			}
			for what := range does(s, probe) {
				done[what] = true
				kinds[strings.Fields(what)[0]]++
				if strings.HasPrefix(what, "rule Cluster") {
					kinds["cluster"]++
				}
			}
		}
		for what := range possible {
			if !done[what] {
				t.Fatalf("seed %d: %s is possible and no probe does it: %v", seed, what, p.List)
			}
		}
		checkShares(t, seed, p, possible)
		checkUntested(t, seed, s, p)
	}
	if kinds["rule"] < 500 || kinds["denial"] < 500 || kinds["nodes"] < 500 || kinds["cluster"] < 200 {
		t.Errorf("the generator makes too little: %v", kinds)
	}
}

// checkShares compares what a plan says of itself with what is possible.
func checkShares(t *testing.T, seed uint64, p Probes, possible map[string]bool) {
	t.Helper()
	want := map[string]int{}
	for what := range possible {
		want[strings.Fields(what)[0]]++
	}
	got := map[string]Share{"rule": p.Rules, "denial": p.Denials, "classes": p.ClassPairs, "nodes": p.NodePairs}
	for what, share := range got {
		if share != (Share{want[what], want[what]}) {
			t.Fatalf("seed %d: %s %+v, possible are %d", seed, what, share, want[what])
		}
	}
	for _, u := range p.Unreachable {
		if possible["rule "+u.What] || u.Why == "" {
			t.Fatalf("seed %d: %+v is possible", seed, u)
		}
	}
}

// checkUntested takes probes away from a plan and compares what is missing then.
func checkUntested(t *testing.T, seed uint64, s *verdict.Snapshot, p Probes) {
	t.Helper()
	whole := Untested(s, p.List, Options{})
	if n := len(whole.MissingRules) + len(whole.MissingDenials) + len(whole.MissingClassPairs) + len(whole.MissingNodePairs); n > 0 ||
		whole.Rules != p.Rules || whole.Denials != p.Denials || whole.ClassPairs != p.ClassPairs || whole.NodePairs != p.NodePairs {
		t.Fatalf("seed %d: the plan leaves %+v", seed, whole)
	}
	half := p.List[:len(p.List)/2]
	done := map[string]bool{}
	for _, probe := range half {
		for what := range does(s, probe) {
			done[what] = true
		}
	}
	left := Untested(s, half, Options{})
	for _, r := range left.MissingRules {
		if done["rule "+r.String()] {
			t.Fatalf("seed %d: %s is exercised and said to be missing", seed, r)
		}
	}
	n := 0
	for what := range done {
		if strings.HasPrefix(what, "rule") {
			n++
		}
	}
	if left.Rules.Covered != n || left.Rules.Covered+len(left.MissingRules) != left.Rules.Total {
		t.Fatalf("seed %d: %d rules exercised, said are %+v, missing %v", seed, n, left.Rules, left.MissingRules)
	}
}

// TestAPlanIsNotFarFromTheSmallest compares with the smallest plan there is, found
// by trying, in worlds small enough for that.
func TestAPlanIsNotFarFromTheSmallest(t *testing.T) {
	smaller, equal := 0, 0
	for seed := range uint64(120) {
		s := random(rand.New(rand.NewPCG(seed, 2)), 2+int(seed%3))
		p := Plan(s, Options{})
		best := smallest(attempts(s))
		if best < p.AtLeast || len(p.List) < best || float64(len(p.List)) > p.Factor*float64(best) || p.Truncated {
			t.Fatalf("seed %d: %d probes, smallest %d, at least %d, factor %.2f", seed, len(p.List), best, p.AtLeast, p.Factor)
		}
		if best < len(p.List) {
			smaller++
		} else {
			equal++
		}
	}
	t.Logf("as small as can be: %d of %d", equal, equal+smaller)
	if equal < 60 {
		t.Errorf("only %d of %d plans are as small as can be", equal, equal+smaller)
	}
}

// smallest is the size of the smallest set of attempts that does all that any does.
func smallest(attempts map[string]map[string]bool) int {
	by := map[string][]map[string]bool{}
	for _, does := range attempts {
		for what := range does {
			by[what] = append(by[what], does)
		}
	}
	for size := 0; ; size++ {
		if coverable(by, map[string]int{}, size) {
			return size
		}
	}
}

func coverable(by map[string][]map[string]bool, done map[string]int, size int) bool {
	rarest, pairs := "", 0
	for what := range by {
		if done[what] > 0 {
			continue
		}
		if strings.HasPrefix(what, "classes") {
			pairs++
		}
		if rarest == "" || len(by[what]) < len(by[rarest]) || len(by[what]) == len(by[rarest]) && what < rarest {
			rarest = what
		}
	}
	if rarest == "" {
		return true
	}
	if pairs > size || size == 0 {
		return false
	}
	var tried []map[string]bool
	for _, does := range by[rarest] {
		if slices.ContainsFunc(tried, func(d map[string]bool) bool { return reflect.DeepEqual(d, does) }) {
			continue
		}
		tried = append(tried, does)
		for what := range does {
			done[what]++
		}
		ok := coverable(by, done, size-1)
		for what := range does {
			done[what]--
		}
		if ok {
			return true
		}
	}
	return false
}

func TestAPlanSaysWhyItCannotExerciseARule(t *testing.T) {
	w := verdict.World{Policies: []verdict.Policy{
		netpol(t, "ai/nobody", `{podSelector: {matchLabels: {app: ghost}}, ingress: [{}]}`),
		netpol(t, "ai/world", `{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}`),
		netpol(t, "ai/strangers", `{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {app: ghost}}}]}]}`),
		netpol(t, "ai/shut", `{podSelector: {matchLabels: {app: c}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: b}}}]}]}`),
		netpol(t, "ai/idle", `{podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress], egress: [{}]}`),
	}}
	var pods []verdict.Pod
	for i, app := range []string{"a", "b", "c"} {
		pods = append(pods, verdict.Pod{Namespace: "ai", Name: app, Labels: map[string]string{"app": app}, Node: fmt.Sprint("n", i), Ports: []verdict.Port{{Number: 80}}, IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}})
	}
	got := map[string]string{}
	for _, u := range Plan(verdict.Compile(w, pods), Options{}).Unreachable {
		got[u.What] = u.Why
	}
	want := map[string]string{
		"ai/nobody ingress[0]":    "its policy selects no pod",
		"ai/world egress[0]":      "its peers are addresses that no pod has: a probe from pod to pod cannot exercise it",
		"ai/strangers ingress[0]": "no pod matches its peers and ports",
		"ai/shut egress[0]":       "where it matches, something else decides: for example, ai/c to ai/b 80/TCP: ai/strangers ingress: no rule allows 80/TCP from ai/c",
		"ai/idle egress[0]":       "policyTypes leave its direction out, so it has no effect",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestABoundedPlanSaysHowMuchItCovers(t *testing.T) {
	var pods []verdict.Pod
	for i := range 30 {
		pods = append(pods, verdict.Pod{Namespace: "ai", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": fmt.Sprint(i)}, Node: fmt.Sprint("n", i%3)})
	}
	var w verdict.World
	for i := range 30 {
		w.Policies = append(w.Policies, netpol(t, fmt.Sprint("ai/k", i), fmt.Sprintf(`{podSelector: {matchLabels: {app: "%d"}}, ingress: [{from: [{podSelector: {matchLabels: {app: "%d"}}}]}]}`, i, (i+1)%30)))
	}
	p := Plan(verdict.Compile(w, pods), Options{MaxProbes: 100})
	if len(p.List) != 100 || p.Rules != (Share{30, 30}) || p.Denials != (Share{30, 30}) || p.ClassPairs.Total != 870 || p.ClassPairs.Covered > 100 || p.AtLeast != 870 {
		t.Errorf("got %d probes, rules %+v, denials %+v, class pairs %+v, at least %d", len(p.List), p.Rules, p.Denials, p.ClassPairs, p.AtLeast)
	}
	if got := p.ClassPairs.Percent(); got < 10 || got > 12 {
		t.Errorf("got %.1f %%", got)
	}
}

func TestIdentitiesCountForTheClassThatTheyAreLike(t *testing.T) {
	w := verdict.World{Policies: []verdict.Policy{netpol(t, "ai/in", `{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}, {from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`)}}
	pods := []verdict.Pod{
		{Namespace: "ai", Name: "a-1", Labels: map[string]string{"app": "a"}, Ports: []verdict.Port{{Number: 1}}},
		{Namespace: "ai", Name: "b-1", Labels: map[string]string{"app": "b"}, Ports: []verdict.Port{{Number: 80}}},
	}
	identity := verdict.Pod{Namespace: "ai", Name: "identity", Labels: map[string]string{"app": "a", "unheard": "of"}}
	stranger := verdict.Pod{Namespace: "nowhere", Name: "x", IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	c := Untested(verdict.Compile(w, pods), []Probe{{From: &identity, To: &pods[1], Port: 80}, {From: &stranger, To: &pods[1], Port: 80}}, Options{})
	if c.Denials != (Share{1, 1}) {
		t.Errorf("denials %+v: the stranger is denied at the other end", c.Denials)
	}
	if c.Rules != (Share{1, 1}) || c.ClassPairs != (Share{1, 2}) || len(c.Strangers) != 1 || c.Strangers[0].From != &stranger {
		t.Errorf("got %+v", c)
	}
	if c.Rules.Percent() != 100 || c.ClassPairs.Percent() != 50 || c.NodePairs.Percent() != 0 {
		t.Errorf("got %v %v %v percent", c.Rules.Percent(), c.ClassPairs.Percent(), c.NodePairs.Percent())
	}
}
