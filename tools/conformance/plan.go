package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// group is a set of upstream specs that is counted together.
type group struct {
	name  string
	focus string // regular expression over the spec's full text
	run   []string
	skip  []skip // specs of the group that are not run
}

// groups are what the lab is judged by.
var groups = []group{
	{name: "netpol", focus: `\[sig-network\] Netpol`},
	{name: "services", focus: `\[sig-network\] Services .*\[Conformance\]`},
	{name: "dns", focus: `\[sig-network\] DNS .*\[Conformance\]`},
	{name: "pods", focus: `\[sig-node\] Pods .*\[Conformance\]`},
}

// skip is one line of skipped.txt.
type skip struct {
	spec   string // full text
	reason string
}

// parseSkips reads lines of the form "SPEC # REASON". Empty lines, and lines
// that start with #, are for readers.
func parseSkips(text string) ([]skip, error) {
	var all []skip
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		spec, reason, _ := strings.Cut(line, " # ")
		spec, reason = strings.TrimSpace(spec), strings.TrimSpace(reason)
		switch {
		case reason == "":
			return nil, fmt.Errorf("skipped.txt:%d: %.60q has no reason; write SPEC # REASON", i+1, spec)
		case seen[spec]:
			return nil, fmt.Errorf("skipped.txt:%d: %.60q is there twice", i+1, spec)
		}
		seen[spec] = true
		all = append(all, skip{spec, reason})
	}
	return all, nil
}

type plan []group

// makePlan sorts the test binary's specs into groups. A line of the list that
// names no spec of any group is stale or misspelt: an error, so that the list
// cannot claim what is not so.
func makePlan(specs []string, skips []skip) (plan, error) {
	used := map[string]bool{}
	p := slices.Clone(groups)
	for i := range p {
		focus := regexp.MustCompile(p[i].focus)
		for _, spec := range specs {
			if !focus.MatchString(spec) {
				continue
			}
			at := slices.IndexFunc(skips, func(s skip) bool { return s.spec == spec })
			if at < 0 {
				p[i].run = append(p[i].run, spec)
				continue
			}
			used[spec] = true
			p[i].skip = append(p[i].skip, skips[at])
		}
		if len(p[i].run) == 0 {
			return nil, fmt.Errorf("group %s: no spec of the test binary is left to run: a group that tests nothing passes nothing", p[i].name)
		}
	}
	for _, s := range skips {
		if !used[s.spec] {
			return nil, fmt.Errorf("skipped.txt names %q, which is no spec of any group: take the line out, or correct it", s.spec)
		}
	}
	return p, nil
}

// choose narrows a plan to what was asked for on the command line.
func (p plan) choose(o options) (plan, error) {
	focus, err := regexp.Compile(o.focus)
	if err != nil {
		return nil, fmt.Errorf("-focus: %w", err)
	}
	var chosen plan
	for _, g := range p {
		if o.only != "" && g.name != o.only {
			continue
		}
		if o.listed {
			g.run = nil
			for _, s := range g.skip {
				g.run = append(g.run, s.spec)
			}
			g.skip = nil
		}
		g.run = slices.DeleteFunc(slices.Clone(g.run), func(spec string) bool { return !focus.MatchString(spec) })
		if len(g.run) > 0 {
			chosen = append(chosen, g)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no spec is chosen by -group %q and -focus %q", o.only, o.focus)
	}
	return chosen, nil
}

func (p plan) size() (specs int) {
	for _, g := range p {
		specs += len(g.run)
	}
	return specs
}

// expression matches the specs to run, and no others.
func (p plan) expression() string {
	var quoted []string
	for _, g := range p {
		for _, spec := range g.run {
			quoted = append(quoted, regexp.QuoteMeta(spec))
		}
	}
	return "(?:" + strings.Join(quoted, "|") + ")$"
}
