package rollout

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

const (
	in  = networkingv1.PolicyTypeIngress
	out = networkingv1.PolicyTypeEgress
)

// netpol reads "namespace/name" and a spec in YAML, as people write it.
func netpol(t *testing.T, key, spec string) verdict.Policy {
	t.Helper()
	var p verdict.Policy
	var ok bool
	if p.Namespace, p.Name, ok = strings.Cut(key, "/"); !ok {
		t.Fatalf("policy %q has no namespace", key)
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("policy %s: %v", key, err)
	}
	return p
}

// selecting is a baseline policy of namespace ai with a selector.
func selecting(t *testing.T, i int, selector string) verdict.Policy {
	t.Helper()
	return netpol(t, fmt.Sprint("ai/base-", i), `{policyTypes: [Ingress, Egress], podSelector: `+selector+`}`)
}

func describe(all []Bridge) []string {
	var lines []string
	for _, b := range all {
		lines = append(lines, fmt.Sprintf("%s %s %s", b.Namespace, b.Direction, metav1.FormatLabelSelector(&b.Selector)))
	}
	return lines
}

func TestBridgesWhereTheBaselineIsOpen(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		baseline, candidates []string // "namespace/name spec"
		want                 []string
	}{
		{"no candidate, no bridge", []string{"ai/a {}"}, nil, nil},
		{"nothing isolates: one bridge for all pods", nil, []string{"ai/c {podSelector: {matchLabels: {app: x}}}"}, []string{"ai Ingress <none>"}},
		{"both directions", nil, []string{"ai/c {policyTypes: [Ingress, Egress]}"}, []string{"ai Egress <none>", "ai Ingress <none>"}},
		{"missing policyTypes with egress rules are both directions", nil, []string{"ai/c {egress: [{}]}"}, []string{"ai Egress <none>", "ai Ingress <none>"}},
		{"many candidates share one bridge", nil, []string{"ai/c {}", "ai/d {podSelector: {matchLabels: {app: x}}}"}, []string{"ai Ingress <none>"}},
		{"namespaces are apart", []string{"ai/a {}"}, []string{"data/c {}", "apps/c {}"}, []string{"apps Ingress <none>", "data Ingress <none>"}},
		{"everything is isolated: none", []string{"ai/a {}"}, []string{"ai/c {}"}, nil},
		{"the other direction does not count", []string{"ai/a {policyTypes: [Egress]}"}, []string{"ai/c {}"}, []string{"ai Ingress <none>"}},
		{"a policy that selects nothing does not count", []string{"ai/a {podSelector: {matchExpressions: [{key: k, operator: Exists}, {key: k, operator: DoesNotExist}]}}"}, []string{"ai/c {}"}, []string{"ai Ingress <none>"}},
		{"a candidate that selects nothing needs none", nil, []string{"ai/c {podSelector: {matchExpressions: [{key: k, operator: Exists}, {key: k, operator: DoesNotExist}]}}"}, nil},
		{"a candidate in force already needs none", []string{"ai/a {podSelector: {matchLabels: {app: x}}}"}, []string{"ai/a {podSelector: {matchLabels: {app: x}}, policyTypes: [Ingress]}"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Bridges(parse(t, tt.baseline), parse(t, tt.candidates))
			if err != nil || !reflect.DeepEqual(describe(got), tt.want) {
				t.Errorf("got %q, %v, want %q", describe(got), err, tt.want)
			}
		})
	}
}

func parse(t *testing.T, lines []string) []verdict.Policy {
	t.Helper()
	var all []verdict.Policy
	for _, line := range lines {
		key, spec, _ := strings.Cut(line, " ")
		all = append(all, netpol(t, key, spec))
	}
	return all
}

func TestBridgesAreTheComplement(t *testing.T) {
	for _, tt := range []struct {
		name      string
		selectors []string // of the isolating baseline policies
		want      []string // of the bridges
	}{
		{"one label", []string{`{matchLabels: {app: a}}`}, []string{"app notin (a)"}},
		{"two labels, either may fail", []string{`{matchLabels: {app: a, tier: b}}`}, []string{"app notin (a)", "tier notin (b)"}},
		{"two policies, both must fail", []string{`{matchLabels: {app: a}}`, `{matchLabels: {app: b}}`}, []string{"app notin (a,b)"}},
		{"NotIn turns to In", []string{`{matchExpressions: [{key: app, operator: NotIn, values: [b, a]}]}`}, []string{"app in (a,b)"}},
		{"Exists turns to DoesNotExist", []string{`{matchExpressions: [{key: app, operator: Exists}]}`}, []string{"!app"}},
		{"DoesNotExist turns to Exists", []string{`{matchExpressions: [{key: app, operator: DoesNotExist}]}`}, []string{"app"}},
		{"what is left of a key", []string{`{matchExpressions: [{key: app, operator: DoesNotExist}]}`, `{matchLabels: {app: a}}`}, []string{"app,app notin (a)"}},
		{"contradictions are dropped", []string{`{matchExpressions: [{key: app, operator: NotIn, values: [a]}]}`, `{matchLabels: {app: a}}`}, nil},
		{"Exists and DoesNotExist cover all", []string{`{matchExpressions: [{key: app, operator: Exists}]}`, `{matchExpressions: [{key: app, operator: DoesNotExist}]}`}, nil},
		{"narrower selectors add nothing", []string{`{matchLabels: {app: a}}`, `{matchLabels: {app: a, tier: b}}`}, []string{"app notin (a)"}},
		{"one that selects all covers all", []string{`{matchLabels: {app: a}}`, `{}`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var baseline []verdict.Policy
			for i, s := range tt.selectors {
				baseline = append(baseline, selecting(t, i, s))
			}
			all, err := Bridges(baseline, []verdict.Policy{netpol(t, "ai/c", "{}")})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range all {
				got = append(got, metav1.FormatLabelSelector(&b.Selector))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBridgesRefuse(t *testing.T) {
	var wide []verdict.Policy
	for i := range 7 { // 2^7 choices over 14 keys, none of which contradict
		wide = append(wide, selecting(t, i, fmt.Sprintf(`{matchLabels: {k%d: a, l%d: b}}`, i, i)))
	}
	for _, tt := range []struct {
		name      string
		baseline  []verdict.Policy
		candidate verdict.Policy
		want      string
	}{
		{"too many bridges", wide, netpol(t, "ai/c", "{}"), "more than 64 bridges"},
		{"an invalid selector in the baseline", []verdict.Policy{selecting(t, 1, `{matchExpressions: [{key: app, operator: In}]}`)}, netpol(t, "ai/c", "{}"), "policy ai/base-1: podSelector is invalid"},
		{"an invalid selector in the candidate", nil, netpol(t, "ai/c", `podSelector: {matchExpressions: [{key: app, operator: Near}]}`), "policy ai/c: podSelector is invalid"},
		{"a label of ours", nil, netpol(t, "ai/c", `podSelector: {matchLabels: {tightrope.dev/enforced: x}}`), "a label that a rollout sets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Bridges(tt.baseline, []verdict.Policy{tt.candidate})
			if err == nil || !strings.Contains(err.Error(), tt.want) || got != nil {
				t.Errorf("got %v, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
	if got, err := Bridges(wide[:6], []verdict.Policy{netpol(t, "ai/c", "{}")}); err != nil || len(got) != 64 {
		t.Errorf("64 bridges are allowed: got %d, %v", len(got), err)
	}
}

// Charts label their pods with name and instance. Written coarsely, 60 such
// policies need 2^60 bridges; without overlap they need one each.
func TestManyPoliciesOverTheSameKeysStaySmall(t *testing.T) {
	var baseline []verdict.Policy
	for i := range 60 {
		baseline = append(baseline, selecting(t, i, fmt.Sprintf(`{matchLabels: {instance: r%d, name: a%d}}`, i, i)))
	}
	got, err := Bridges(baseline, []verdict.Policy{netpol(t, "ai/c", "{}")})
	if err != nil || len(got) != 61 {
		t.Errorf("got %d bridges, %v, want 61", len(got), err)
	}
	for i := range 60 {
		pod := labels.Set{"instance": fmt.Sprint("r", i), "name": fmt.Sprint("a", i)}
		other := labels.Set{"instance": fmt.Sprint("r", i), "name": fmt.Sprint("a", (i+1)%60)}
		if bridged(t, got, in, pod) || !bridged(t, got, in, other) {
			t.Fatalf("policy %d: its own pod must not be bridged, a stranger must be", i)
		}
	}
}

// TestUnionOfBridgesIsWhatTheBaselineLeavesOpen compares, by brute force over
// every label set of a small universe, the bridges of random baselines with the
// pods that no baseline policy isolates.
func TestUnionOfBridgesIsWhatTheBaselineLeavesOpen(t *testing.T) {
	universe := labelSets([]string{"k1", "k2", "k3"}, []string{"a", "b", "c"})
	candidate := []verdict.Policy{netpol(t, "ai/c", `{policyTypes: [Ingress, Egress]}`)}
	open, closed, refused := 0, 0, 0
	for seed := range uint64(700) {
		r := rand.New(rand.NewPCG(seed, 2))
		var baseline []verdict.Policy
		for i := range r.IntN(6) {
			p := verdict.Policy{Namespace: []string{"ai", "ai", "ai", "data"}[r.IntN(4)], Name: fmt.Sprint("p", i)}
			p.Spec.PodSelector = randomSelector(r)
			p.Spec.PolicyTypes = [][]networkingv1.PolicyType{nil, {in}, {out}, {in, out}}[r.IntN(4)]
			baseline = append(baseline, p)
		}
		bridges, err := Bridges(baseline, candidate)
		if err != nil {
			refused++
			continue
		}
		for _, set := range universe {
			for _, d := range []networkingv1.PolicyType{in, out} {
				got, want := bridged(t, bridges, d, set), !isolates(t, baseline, d, set)
				if got != want {
					t.Fatalf("seed %d: pod %v, %s: bridged is %t, want %t; baseline %+v, bridges %q", seed, set, d, got, want, baseline, describe(bridges))
				}
				if want {
					open++
				} else {
					closed++
				}
			}
		}
	}
	if open < 1000 || closed < 1000 || refused > 200 {
		t.Errorf("the generator is lopsided, so little was tested: %d open, %d closed, %d refused", open, closed, refused)
	}
}

func labelSets(keys, values []string) []labels.Set {
	if len(keys) == 0 {
		return []labels.Set{{}}
	}
	var all []labels.Set
	for _, rest := range labelSets(keys[1:], values) {
		all = append(all, rest)
		for _, v := range values {
			all = append(all, labels.Merge(rest, labels.Set{keys[0]: v}))
		}
	}
	return all
}

func randomSelector(r *rand.Rand) metav1.LabelSelector {
	var sel metav1.LabelSelector
	for range r.IntN(8) / 2 {
		key, value := []string{"k1", "k2", "k3"}[r.IntN(3)], []string{"a", "b"}[r.IntN(2)]
		op := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist}[r.IntN(4)]
		req := metav1.LabelSelectorRequirement{Key: key, Operator: op}
		switch {
		case r.IntN(2) == 0:
			sel.MatchLabels = labels.Merge(sel.MatchLabels, labels.Set{key: value})
			continue
		case op == metav1.LabelSelectorOpIn || op == metav1.LabelSelectorOpNotIn:
			req.Values = [][]string{{value}, {"a", "b"}, {"a", "a"}}[r.IntN(3)]
		}
		sel.MatchExpressions = append(sel.MatchExpressions, req)
	}
	return sel
}

func bridged(t *testing.T, bridges []Bridge, d networkingv1.PolicyType, set labels.Set) bool {
	t.Helper()
	for _, b := range bridges {
		if b.Direction == d && matches(t, b.Selector, set) {
			return true
		}
	}
	return false
}

func isolates(t *testing.T, policies []verdict.Policy, d networkingv1.PolicyType, set labels.Set) bool {
	t.Helper()
	for _, p := range policies {
		if on, err := p.Isolates(verdict.Pod{Namespace: "ai", Labels: set}, d); err != nil {
			t.Fatal(err)
		} else if on {
			return true
		}
	}
	return false
}

func matches(t *testing.T, sel metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(&sel)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(set)
}
