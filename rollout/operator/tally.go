package operator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/report"
)

// seen are the totals of one check at the last pass.
type seen struct{ attempts, bad int64 }

// tally adds what happened since the last pass to the rows of the report.
func (r *record) tally(p *picture, cells map[cell]*judged, step string) {
	for _, s := range p.sights {
		if !s.route.witness {
			r.tallySight(p, s)
		}
	}
	for c, j := range cells {
		row := r.rows[c]
		if row == nil {
			continue
		}
		if j.note != "" {
			row.Note = j.note
		}
		if j.holds && p.settled && p.scope.Live() && row.Finding != report.CutFinding {
			r.holds(p, c, row)
		}
		if j.leak != nil && row.Finding != report.Leak {
			r.leak(p, c, j, step)
		}
	}
	if p.scope.Live() && step != "" {
		r.cover(cells, step, p.settled)
	}
}

// holds makes a row say that its path is proved. A leak that was repaired stays in
// the report, and the row names it; where nobody repairs anything it stays the finding.
func (r *record) holds(p *picture, c cell, row *report.Path) {
	note := ""
	for _, l := range r.Report.Leaks {
		if l.Path != p.plan.Paths[c.path].Name || l.Via != string(c.via) {
			continue
		}
		if p.unseen {
			return
		}
		note = fmt.Sprintf("it leaked in %s, and was proved after that", l.Phase)
	}
	row.Finding, row.Rule, row.Note = report.Holds, "", note
}

// forget leaves nothing of what was found so far.
func (r *record) forget() {
	for _, row := range r.rows {
		row.Finding, row.Rule, row.Note = report.Inconclusive, "", ""
		row.Attempts, row.Failures, row.FirstSeen, row.LastSeen = 0, 0, time.Time{}, time.Time{}
	}
	r.Report.Leaks, r.Report.Cuts, r.State.LeakThrough, r.State.Cells = nil, nil, nil, nil
	clear(r.cutAt)
}

// skip leaves what was seen so far out of the totals.
func (r *record) skip(p *picture) {
	for _, s := range p.sights {
		if !s.route.witness {
			r.seen[s.key()] = s.totals(p)
		}
	}
}

// key tells checks apart.
func (s sight) key() string { return s.from.String() + "\x00" + s.plan + "\x00" + s.id }

// totals are the attempts of a check, and those that ended as they must not.
func (s sight) totals(p *picture) seen {
	if p.plan.Paths[s.route.path].Expect == v1alpha1.ExpectDeny {
		return seen{s.state.Attempts, s.state.Connected}
	}
	return seen{s.state.Attempts, s.state.Blocked}
}

func (r *record) tallySight(p *picture, s sight) {
	row := r.rows[cell{s.route.path, s.route.via}]
	if row == nil {
		return
	}
	path := p.plan.Paths[s.route.path]
	now, key := s.totals(p), s.key()
	counts := p.scope.Live() || len(r.State.Qualified) == 0
	if path.Expect == v1alpha1.ExpectDeny {
		counts = p.settled && p.forbids(s, path)
	}
	was := r.seen[key]
	r.seen[key] = now
	if now.attempts < was.attempts {
		was = seen{} // the agent was made or started again, and counts from nothing
	}
	row.Attempts += now.attempts - was.attempts
	if counts {
		row.Failures += now.bad - was.bad
	}
	if s.state.Attempts == 0 {
		return
	}
	if row.FirstSeen.IsZero() {
		row.FirstSeen = s.state.FirstSeen
	}
	row.LastSeen = later(row.LastSeen, s.state.Newest)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// cover notes how many cells of a step have proof; the last word of a step counts.
func (r *record) cover(cells map[cell]*judged, step string, settled bool) {
	var c report.Coverage
	for _, j := range cells {
		if j.required {
			c.Required++
		}
		if j.proved && settled {
			c.Proved++
		}
	}
	if r.State.Cells == nil {
		r.State.Cells = map[string]report.Coverage{}
	}
	r.State.Cells[step] = c
	r.Report.Coverage = report.Coverage{}
	for _, c := range r.State.Cells {
		r.Report.Coverage.Required += c.Required
		r.Report.Coverage.Proved += c.Proved
	}
}

// foundCut is a cut as it is about to be decided on.
type foundCut struct {
	cell     cell
	entry    report.Cut
	received time.Time // of the newest sample
	decisive bool      // the decision rests on it
	suspect  suspect
}

// sortedCells lists cells in the order of the plan.
func sortedCells(cells map[cell]*judged) []cell {
	return slices.SortedFunc(maps.Keys(cells), func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.via, b.via))
	})
}

// findCuts lists what a decision to roll back rests on, and with it the paths
// that fail for a rule in force but had no time to fail often enough. tightened is when the
// last write that could take a path away was acknowledged; zero: not known,
// because the operator was restarted since.
func findCuts(p *picture, cells map[cell]*judged, step string, tightened time.Time) []foundCut {
	var found []foundCut
	for c, j := range cells {
		s := cmp.Or(j.cut, j.failing)
		if s == nil {
			continue
		}
		f := foundCut{cell: c, entry: entry(p, c, *s, step), received: s.state.LastReceived,
			decisive: j.cut != nil, suspect: p.suspectOf(*s)}
		if !tightened.IsZero() {
			f.entry.Latencies.Detect = millis(f.received.Sub(tightened))
			f.entry.Latencies.Broken = report.BrokenByWrite
		}
		found = append(found, f)
	}
	rank := map[bool]int{false: 1}
	slices.SortFunc(found, func(a, b foundCut) int { // attempts by address first: they say most
		return cmp.Or(rank[a.decisive]-rank[b.decisive], cmp.Compare(a.cell.via, b.cell.via), cmp.Compare(a.cell.path, b.cell.path))
	})
	return found
}

// cut writes the cuts down once the decision is recorded.
func (r *record) cut(found []foundCut, decided time.Time) {
	r.decidedAt = decided
	for _, f := range found {
		f.entry.At = decided
		f.entry.Latencies.Decide = millis(decided.Sub(f.received))
		r.cutAt[f.entry.Path+"\x00"+f.entry.Via] = len(r.Report.Cuts)
		r.Report.Cuts = append(r.Report.Cuts, f.entry)
		row := r.rows[f.cell]
		row.Finding, row.Rule, row.Note = report.CutFinding, f.entry.Rule, ""
	}
}

// measuredLast makes the rows say what was seen last. A path that must work and
// fails when the run ends, or is held, does not hold, whatever was proved before;
// nor does one that the last step left without proof.
func (r *record) measuredLast(p *picture, cells map[cell]*judged) {
	r.unprovedLast(p, cells)
	for _, s := range p.sights {
		row := r.rows[cell{s.route.path, s.route.via}]
		if row == nil || row.Finding == report.CutFinding || !p.mustWork(s) || !s.state.Last.Blocked() || s.state.Streak < p.needed(s.route.via) {
			continue
		}
		_, row.Rule = p.blame(s)
		row.Finding, row.Note = report.CutFinding, fmt.Sprintf("it failed when last tried: the newest %d attempts ended %s", s.state.Streak, s.state.Last)
	}
}

// unprovedLast makes the rows without proof at the end say so.
func (r *record) unprovedLast(p *picture, cells map[cell]*judged) {
	for c, j := range cells {
		if row := r.rows[c]; row != nil && p.scope.Live() && j.due && !j.holds && row.Finding == report.Holds {
			row.Finding, row.Note = report.Inconclusive, cmp.Or(j.note, "it held in an earlier step and was not proved in the last one")
		}
	}
}

func (r *record) leak(p *picture, c cell, j *judged, step string) {
	e := entry(p, c, *j.leak, step)
	rule, others := p.blameLeak(*j.leak)
	e.Cause, e.At, e.Rule = "Leak", p.now, rule
	r.State.LeakThrough = union(r.State.LeakThrough, others)
	r.Report.Leaks = append(r.Report.Leaks, e)
	row := r.rows[c]
	row.Finding, row.Rule, row.Note = report.Leak, e.Rule, ""
}

// union adds what is missing of more, in order.
func union(names, more []string) []string {
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func entry(p *picture, c cell, s sight, step string) report.Cut {
	cause, rule := p.blame(s)
	target := ""
	if s.route.target.Name != "" {
		target = s.route.target.String()
	}
	outcome := string(s.state.Last)
	if part := p.partly(s, p.plan.Paths[c.path]); cause != "DNS" && part.denied != nil && p.plan.Paths[c.path].Expect == v1alpha1.ExpectAllow {
		target = part.denied.pod.Namespace + "/" + part.denied.pod.Name
		outcome = fmt.Sprintf("%d of %d attempts failed", s.state.BlockedSinceMark, s.state.BlockedSinceMark+s.state.ConnectedSinceMark)
	}
	return report.Cut{
		Path: p.plan.Paths[c.path].Name, Via: string(c.via), Phase: step,
		Cause: cause, Rule: rule, Target: target, Outcome: outcome,
	}
}

// restored stamps the last bridge write of a rollback.
func (r *record) restored(at time.Time) {
	r.restoredAt = at
	if r.decidedAt.IsZero() {
		return
	}
	for i := range r.Report.Cuts {
		r.Report.Cuts[i].Latencies.Restore = millis(at.Sub(r.decidedAt))
	}
}

// recovered stamps each cut path when its attempts get through again.
func (r *record) recovered(p *picture) {
	if r.restoredAt.IsZero() {
		return
	}
	for c := range r.rows {
		i, ok := r.cutAt[p.plan.Paths[c.path].Name+"\x00"+string(c.via)]
		if !ok || r.Report.Cuts[i].Latencies.Recover != nil {
			continue
		}
		var last time.Time
		good := true
		for _, s := range p.sights {
			if s.route.witness || s.route.path != c.path || s.route.via != c.via {
				continue
			}
			good = good && s.state.Last == probes.Reached && s.state.LastReceived.After(r.restoredAt)
			last = later(last, s.state.LastReceived)
		}
		if good && !last.IsZero() {
			r.Report.Cuts[i].Latencies.Recover = millis(last.Sub(r.restoredAt))
		}
	}
}

func millis(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}
