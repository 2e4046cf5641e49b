package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/cover"
)

// Tested is how much of the candidates some paths exercise, once the change is
// done. What no path exercises can be wrong without a rollout noticing.
type Tested struct {
	// Rules of the candidates, and classes of pods that they isolate in a direction,
	// of those that connections between the pods can exercise.
	Rules, Denials cover.Share
	// Missing are the rules, and what is denied, that no path exercises: a path that
	// must not work shows a denial.
	Missing []string
	// Unreachable are rules and denials that no connection between pods exercises.
	Unreachable []cover.Unreachable
}

// Tested says what the edges exercise of the change. Name names pods for people;
// nil: their namespace/name.
func (c Change) Tested(edges []Edge, name func(*verdict.Pod) string) Tested {
	if name == nil {
		name = func(p *verdict.Pod) string { return p.Key() }
	}
	pods, known := slices.Clone(c.Pods), map[string]bool{}
	for i := range c.Pods {
		known[c.Pods[i].Key()] = true
	}
	var suite []cover.Probe
	for _, e := range edges {
		from, to := e.Conn.From.Pod, e.Conn.To.Pod
		if from == nil || to == nil {
			continue
		}
		suite = append(suite, cover.Probe{From: from, To: to, Port: e.Conn.Port, Protocol: e.Conn.Protocol})
		if !known[to.Key()] { // what is assumed to be there is a target as any other
			known[to.Key()] = true
			pods = append(pods, *to)
		}
	}
	only := []string{}
	for _, p := range c.Candidates {
		only = append(only, p.Key())
	}
	got := cover.Untested(verdict.Compile(c.After(), pods), suite, cover.Options{Only: only, MaxProbes: 1}) // pairs are not asked for
	t := Tested{Rules: got.Rules, Denials: got.Denials, Unreachable: got.Unreachable}
	for _, r := range got.MissingRules {
		t.Missing = append(t.Missing, "rule "+r.String())
	}
	for _, d := range got.MissingDenials {
		t.Missing = append(t.Missing, fmt.Sprintf("what %s denies on %s", name(d.Pod), strings.ToLower(string(d.Direction))))
	}
	return t
}
