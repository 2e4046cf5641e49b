package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

func TestTheProofRefusesBridges(t *testing.T) {
	bridge := func(selector string) Bridge {
		return Bridge{Namespace: "ai", Direction: in, Selector: netpol(t, "ai/b", `podSelector: `+selector).Spec.PodSelector}
	}
	app := func(value string) string { return `{matchLabels: {app: ` + value + `}}` }
	notApp := `{matchExpressions: [{key: app, operator: NotIn, values: [a]}]}`
	for _, tt := range []struct {
		name      string
		selectors []string // of the baseline
		bridges   []Bridge
		want      string // in the error; empty: proved
	}{
		{"nothing isolates and one bridge is for all", nil, []Bridge{bridge(`{}`)}, ""},
		{"the complement", []string{app("a")}, []Bridge{bridge(notApp)}, ""},
		{"everything is isolated and there is no bridge", []string{`{}`}, nil, ""},
		{"a bridge over an isolated pod", []string{app("a")}, []Bridge{bridge(`{}`)}, "would open pods that policy ai/base-0 isolates, for example one with labels {app=a}"},
		{"a bridge over pods that are isolated if they are labelled", []string{app("a")}, []Bridge{bridge(notApp), bridge(`{matchLabels: {tier: x}}`)}, "labels {app=a, tier=x}"},
		{"no bridge at all", nil, nil, "no bridge selects a pod with labels {}"},
		{"pods without the label are left out", []string{app("a")}, []Bridge{bridge(`{matchExpressions: [{key: app, operator: Exists}, {key: app, operator: NotIn, values: [a]}]}`)}, "labels {} (none"},
		{"other values are left out", []string{app("a")}, []Bridge{bridge(`{matchExpressions: [{key: app, operator: DoesNotExist}]}`), bridge(app("x"))}, "labels {app=xx}"},
		{"half of a product is left out", []string{`{matchLabels: {app: a, tier: b}}`}, []Bridge{bridge(notApp)}, "labels {app=a}"},
		{"the other namespace does not matter", []string{app("a")}, []Bridge{bridge(notApp), {Namespace: "data", Direction: in}}, "namespace data, Ingress ({}): no candidate isolates there"},
		{"the other direction does not matter", []string{app("a")}, []Bridge{bridge(notApp), {Namespace: "ai", Direction: out}}, "namespace ai, Egress ({}): no candidate isolates there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var baseline []verdict.Policy
			for i, s := range tt.selectors {
				baseline = append(baseline, selecting(t, i, s))
			}
			err := ProveBridges(baseline, parse(t, []string{`ai/c {podSelector: {matchLabels: {app: a}}}`}), tt.bridges)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestTheProofIsRightAboutRandomBridges plans bridges, damages some of them, and
// compares the proof with what the selectors do to every label set of a small
// universe, which holds values and a key that no selector mentions.
func TestTheProofIsRightAboutRandomBridges(t *testing.T) {
	universe := labelSets([]string{"k1", "k2", "k3", "unheard"}, []string{"a", "b", "never"})
	candidate := []verdict.Policy{netpol(t, "ai/c", `{}`)}
	proved, opened, left := 0, 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 7))
		var baseline []verdict.Policy
		for i := range r.IntN(5) {
			baseline = append(baseline, verdict.Policy{Namespace: "ai", Name: fmt.Sprint("p", i), Spec: networkingv1.NetworkPolicySpec{PodSelector: randomSelector(r)}})
		}
		bridges, err := Bridges(baseline, candidate)
		if err != nil {
			continue
		}
		bridges = damaged(r, bridges)
		opens, leaves := false, false
		for _, set := range universe {
			on, closed := bridged(t, bridges, in, set), isolates(t, baseline, in, set)
			opens, leaves = opens || on && closed, leaves || !on && !closed
		}
		err = ProveBridges(baseline, candidate, bridges)
		if (err == nil) == (opens || leaves) {
			t.Fatalf("seed %d: opens %t, leaves out %t, proof says %v; baseline %+v, bridges %q", seed, opens, leaves, err, baseline, describe(bridges))
		}
		switch {
		case err == nil:
			proved++
		case opens:
			opened++
		default:
			left++
		}
	}
	if proved < 150 || opened < 150 || left < 100 {
		t.Errorf("the generator is lopsided: %d proved, %d open isolated pods, %d leave pods out", proved, opened, left)
	}
}

// damaged leaves the bridges as they are, or drops, widens, narrows or replaces one.
func damaged(r *rand.Rand, bridges []Bridge) []Bridge {
	bridges = slices.Clone(bridges)
	if len(bridges) == 0 {
		return bridges
	}
	i := r.IntN(len(bridges))
	switch r.IntN(6) {
	case 0:
		return slices.Delete(bridges, i, i+1)
	case 1:
		bridges[i].Selector = metav1.LabelSelector{}
	case 2:
		bridges[i].Selector = randomSelector(r)
	case 3:
		sel := bridges[i].Selector.DeepCopy()
		sel.MatchLabels = labels.Merge(sel.MatchLabels, labels.Set{"k1": "a"})
		bridges[i].Selector = *sel
	}
	return bridges
}

// The proof of the largest plans that are allowed is quick: 64 bridges of six
// labels each, and 60 releases of a chart.
func TestTheLargestPlansAreProved(t *testing.T) {
	var wide, chart []verdict.Policy
	for i := range 6 {
		wide = append(wide, selecting(t, i, fmt.Sprintf(`{matchLabels: {k%d: a, l%d: b}}`, i, i)))
	}
	for i := range 60 {
		chart = append(chart, selecting(t, i, fmt.Sprintf(`{matchLabels: {instance: r%d, name: a%d}}`, i, i)))
	}
	candidate := []verdict.Policy{netpol(t, "ai/c", "{}")}
	for _, baseline := range [][]verdict.Policy{wide, chart} {
		bridges, err := Bridges(baseline, candidate)
		if err != nil || len(bridges) < 60 {
			t.Fatalf("%d bridges, %v", len(bridges), err)
		}
		if err := ProveBridges(baseline, candidate, bridges); err != nil {
			t.Error(err)
		}
		for i := range bridges {
			if ProveBridges(baseline, candidate, slices.Delete(slices.Clone(bridges), i, i+1)) == nil {
				t.Errorf("it is not noticed that bridge %d is missing: %s", i, text(bridges[i].Selector))
			}
		}
	}
}

// A proof that takes too long is none: it fails, and does not pass.
func TestAProofThatTakesTooLongFails(t *testing.T) {
	var all []clause
	for i := range 16 { // every combination of four labels: covered, in 31 cases
		var c clause
		for bit := range 4 {
			op := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist}[i>>bit&1]
			c = append(c, metav1.LabelSelectorRequirement{Key: fmt.Sprint("k", bit), Operator: op})
		}
		all = append(all, c)
	}
	if _, gap, err := uncovered(nil, all, 31); gap || err != nil {
		t.Errorf("gap %t, %v", gap, err)
	}
	if _, gap, err := uncovered(nil, all, 30); gap || err == nil {
		t.Errorf("gap %t, %v, want an error", gap, err)
	}
}
