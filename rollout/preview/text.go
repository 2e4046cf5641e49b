package preview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
)

// maxChanges of the blast radius are told; the rest is counted, and in the JSON.
const maxChanges = 15

// page writes lines, and keeps the first error.
type page struct {
	w   io.Writer
	err error
}

// raw writes what is clean already.
func (p *page) raw(text string) {
	if _, err := io.WriteString(p.w, text); p.err == nil {
		p.err = err
	}
}

func (p *page) line(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = report.Sanitize(s)
		}
	}
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); p.err == nil {
		p.err = err
	}
}

// WriteText says it to people: what breaks first, then whom it concerns, then
// how it would go.
func (p Preview) WriteText(w io.Writer) error {
	out := &page{w: w}
	out.line("Plan of %s: %s, judged among %s, digest %s", p.Rollout, policies(len(p.Summary.Selected)), count(p.Pods, "pod"), p.Digest)
	p.writePaths(out)
	p.writeTested(out)
	p.writeChanges(out)
	p.writeSelected(out)
	p.writeOrder(out)
	p.writeProof(out)
	p.writeRefusals(out)
	p.writeFindings(out)
	for _, note := range slices.Concat(p.Assumed, p.Notes) {
		out.line("note: %s", note)
	}
	out.line("")
	p.conclude(out)
	return out.err
}

func (p Preview) writePaths(out *page) {
	count := map[Finding]int{}
	for _, path := range p.Paths {
		count[path.Finding]++
	}
	out.line("")
	out.line("PATHS OF THE SUITES: %d hold, %d cut, %d leak, %d inconclusive", count[Holds], count[Cut], count[Leak], count[Inconclusive])
	for _, path := range p.Paths {
		if path.Finding == Holds {
			continue
		}
		vote := ""
		if path.Warning {
			vote = " (criticality Warning: it stops nothing)"
		}
		out.line("  %s  %s%s", strings.ToUpper(path.Finding.String()), path.Name, vote)
		out.line("       %s", path.Rule)
		if path.Finding == Cut && path.Now == verdict.Deny {
			out.line("       it does not work now either: what is there denies it, too")
		}
		p.writeRepair(out, path)
	}
}

func (p Preview) writeTested(out *page) {
	t := p.Summary.Tested
	out.line("")
	out.line("WHAT THE SUITES TEST: %d of %d rules of the policies, and %d of %d denials", t.Rules.Covered, t.Rules.Total, t.Denials.Covered, t.Denials.Total)
	for i, what := range t.Missing {
		if i == maxChanges {
			out.line("  and %d more: -o json has them all", len(t.Missing)-i)
			break
		}
		out.line("  untested  %s", what)
	}
	for i, u := range t.Unreachable {
		if i == maxChanges {
			out.line("  and %d more: -o json has them all", len(t.Unreachable)-i)
			break
		}
		out.line("  untestable between these pods  %s: %s", u.What, u.Why)
	}
}

func (p Preview) writeChanges(out *page) {
	c := p.Summary.Changes
	out.line("")
	out.line("BLAST RADIUS: %s; on declared ports, %d connections between pods close, %d open, %d become unknown, %d become known",
		count(concerned(p.Impacts), "workload"), c.Closed, c.Opened, c.BecameUnknown, c.BecameKnown)
	told, lines := 0, 0
	for _, section := range []struct {
		use  Use
		name string
	}{{Required, "what a suite requires"}, {Served, "ports of Services"}, {Forbidden, "what a suite forbids"}, {Declared, "other declared ports"}} {
		for i, g := range grouped(used(p.Impacts, section.use)) {
			if lines++; lines > maxChanges {
				continue
			}
			if i == 0 {
				out.line("  %s:", section.name)
			}
			told++
			out.line("    %s  %s  %s  from %s", g.kind.String(), g.to, shortList(g.ports, 6), shortList(g.from, 4))
		}
	}
	if lines > told || c.LeftOff > 0 {
		out.line("  and %s: -o json has them all, with the rules%s", count(lines-told, "more line"), leftOff(c.LeftOff))
	}
}

// used are the impacts of one use.
func used(all []Impact, use Use) []Impact {
	return slices.DeleteFunc(slices.Clone(all), func(i Impact) bool { return i.Use != use })
}

func leftOff(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d connections are in no line", n)
}

func portOf(c compare.Change) string {
	switch {
	case c.OtherPort:
		return "any other port/" + string(c.Protocol)
	case c.LastPort > c.Port:
		return fmt.Sprintf("%d-%d/%s", c.Port, c.LastPort, c.Protocol)
	}
	return fmt.Sprintf("%d/%s", c.Port, c.Protocol)
}

func (p Preview) writeSelected(out *page) {
	out.line("")
	out.line("POLICIES")
	table := &strings.Builder{}
	tw := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	for _, s := range p.Summary.Selected {
		state := "isolates " + strings.Join(s.Isolates, " and ")
		if s.InForce {
			state = "in force already"
		}
		whom := "no pod"
		if s.Pods > 0 {
			var names []string
			for _, share := range s.Workloads {
				names = append(names, share.Workload)
			}
			whom = fmt.Sprintf("%s of %s", count(s.Pods, "pod"), shortList(names, 4))
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", report.Sanitize(s.Policy), state, report.Sanitize(whom))
	}
	for _, key := range p.Summary.Removed {
		what := "the present policy is removed"
		if slices.ContainsFunc(p.Summary.Selected, func(s rollout.Selection) bool { return s.Policy == key }) {
			what = "the present policy becomes this one"
		}
		fmt.Fprintf(tw, "  %s\t%s\t\n", report.Sanitize(key), what)
	}
	tw.Flush()
	out.raw(table.String())
}

func shortList(names []string, most int) string {
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (p Preview) writeOrder(out *page) {
	out.line("")
	out.line("ORDER: %s; a rollback writes each once", count(len(p.Summary.Bridges), "bridge"))
	for i, s := range p.Steps {
		out.line("  %d. %s: %s", i+1, s.Name, s.Scope.String())
		for _, g := range s.Gates {
			out.line("     then gate %s waits for %s", g.Name, count(g.Approvers(), "approver"))
		}
	}
	if waves := p.Summary.Proof.Waves; len(waves) > 1 {
		for i, w := range waves {
			out.line("  wave %d of %d (%s): %s", i+1, len(waves), w.Name, strings.Join(w.Policies, ", "))
		}
	}
}

func (p Preview) writeProof(out *page) {
	out.line("")
	proof := p.Summary.Proof
	if len(proof.Failures) == 0 && len(p.Summary.Refusals) == 0 {
		out.line("DURING THE ROLLOUT: every path that a suite requires works in every combination of source and target state")
	} else {
		out.line("DURING THE ROLLOUT: %s denied or undetermined in at least one combination of source and target state", requiredPaths(len(proof.Failures)))
	}
	exposures := proof.Exposures
	if len(exposures)+proof.ExposuresLeftOff > 0 {
		out.line("  %s open for a while, and closed before and after:", connections(len(exposures)+proof.ExposuresLeftOff))
	}
	for i, e := range exposures {
		if i == maxChanges {
			out.line("    and %d more", len(exposures)+proof.ExposuresLeftOff-i)
			break
		}
		out.line("    %s → %s  %d/%s (enforce first: %s)", e.From.Key(), e.To.Key(), e.Port.Number, string(e.Port.Protocol), e.First.String())
	}
}

func requiredPaths(n int) string {
	if n == 1 {
		return "1 required path is"
	}
	return fmt.Sprintf("%d required paths are", n)
}

func connections(n int) string {
	if n == 1 {
		return "1 connection is"
	}
	return fmt.Sprintf("%d connections are", n)
}

func (p Preview) writeFindings(out *page) {
	if len(p.Findings) == 0 {
		return
	}
	out.line("")
	out.line("MISTAKES IN THE POLICIES: %d", len(p.Findings))
	for _, f := range p.Findings {
		for _, line := range strings.Split(f.String(), "\n") {
			out.line("  %s", line)
		}
	}
}
