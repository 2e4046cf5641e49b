package operator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// seen are the totals of one check at the last pass.
type seen struct{ attempts, bad int64 }

// tally counts what happened since the last pass, and writes down what it changes
// about the rows of the report. Of a run that writes nothing down, every look counts.
func (r *record) tally(p *picture, place, name string) {
	for _, s := range p.sights {
		if !s.route.witness {
			r.tallySight(p, s)
		}
	}
	if !r.keeps() {
		l := p.facted
		l.Place, l.Name, l.Checks = place, name, slices.Clone(p.facted.Checks)
		r.blameNews(p, &l)
		r.See(&l, p.weighed, p.now.Round(0).UTC())
		for _, c := range r.window {
			r.Count(*c)
		}
		clear(r.window)
		return
	}
	if news := r.News(&p.facted, p.weighed); len(news) > 0 {
		r.log(evidence.Entry{Look: p.looked(news, place, name)}, p.now)
	}
}

// blameNews says of each check whose leak is news why it gets through.
func (r *record) blameNews(p *picture, l *evidence.Look) {
	for row := range r.News(l, p.weighed) {
		if leak := p.weighed[row].Leak; leak != 0 {
			l.Checks[leak-1].Blame = p.blamed(leak-1, p.sights[p.sighted[leak-1]], true)
		}
	}
}

// forget leaves nothing of what was found so far. Only who writes nothing down may.
func (r *record) forget() {
	for _, row := range r.rows {
		row.Finding, row.Rule, row.Note = report.Inconclusive, "", ""
		row.Attempts, row.Failures, row.FirstSeen, row.LastSeen = 0, 0, time.Time{}, time.Time{}
	}
	r.Report.Leaks, r.Report.Cuts = nil, nil
	clear(r.window)
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
	row, ok := r.rowOf[cell{s.route.path, s.route.via}]
	if !ok {
		return
	}
	path := p.plan.Paths[s.route.path]
	now, key := s.totals(p), s.key()
	counts := p.scope.Live() || len(r.Qualified) == 0
	if path.Expect == v1alpha1.ExpectDeny {
		counts = p.settled && p.forbids(s, path)
	}
	was := r.seen[key]
	r.seen[key] = now
	if now.attempts < was.attempts {
		was = seen{} // the agent was made or started again, and counts from nothing
	}
	if now.attempts == was.attempts {
		return
	}
	c := r.window[counted{row, s.from}]
	if c == nil {
		c = &evidence.Count{Row: row, Agent: s.from.String()}
		r.window[counted{row, s.from}] = c
	}
	c.Attempts += now.attempts - was.attempts
	if counts {
		c.Failures += now.bad - was.bad
	}
	if c.First.IsZero() && r.Report.Paths[row].FirstSeen.IsZero() {
		c.First = whole(s.state.FirstSeen)
	}
	c.Last = later(c.Last, whole(s.state.Newest))
}

// whole is a time in whole milliseconds, as windows have it.
func whole(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func compareText(a, b string) int { return strings.Compare(a, b) }

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
	for _, row := range report.CutRows(p.rows, p.weighed) {
		j := cells[p.cells[row]]
		s := cmp.Or(j.cut, j.failing)
		f := foundCut{cell: p.cells[row], entry: entry(p, p.cells[row], *s, step), received: s.state.LastReceived,
			decisive: j.cut != nil, suspect: p.suspectOf(*s)}
		if !tightened.IsZero() {
			f.entry.Latencies.Detect = millis(f.received.Sub(tightened))
			f.entry.Latencies.Broken = report.BrokenByWrite
		}
		found = append(found, f)
	}
	return found
}

// cuts are those of a decision as they are written down once it is recorded.
func (r *record) cuts(found []foundCut, decided time.Time) []evidence.Cut {
	if len(found) > 0 {
		r.decidedAt = decided
	}
	var out []evidence.Cut
	for _, f := range found {
		l := f.entry.Latencies
		out = append(out, evidence.Cut{Row: r.rowOf[f.cell], Detect: l.Detect, Broken: l.Broken, Decide: millis(decided.Sub(f.received))})
	}
	return out
}

func entry(p *picture, c cell, s sight, step string) report.Cut {
	b := p.blameOf(s)
	return report.Cut{
		Path: p.plan.Paths[c.path].Name, Via: string(c.via), Phase: step,
		Cause: b.Cause, Rule: b.Rule, Target: b.Target, Outcome: b.Outcome,
	}
}

// restored stamps the last bridge write of a rollback.
func (r *record) restored(at time.Time) {
	r.restoredAt = at
	r.log(evidence.Entry{Write: &evidence.Write{What: "rollback/bridges", Issued: at.Round(0).UTC()}}, at)
	if !r.decidedAt.IsZero() {
		r.log(evidence.Entry{Stamp: &evidence.Stamp{Row: -1, Restore: millis(at.Sub(r.decidedAt))}}, at)
	}
}

// wasCut is the place of a cell in the report's cuts.
func (r *record) wasCut(c cell) (int, bool) {
	row, ok := r.rowOf[c]
	if !ok {
		return 0, false
	}
	return r.CutAt(row)
}

// recovered stamps each cut path when its attempts get through again.
func (r *record) recovered(p *picture) {
	if r.restoredAt.IsZero() {
		return
	}
	for c, row := range r.rowOf {
		i, ok := r.CutAt(row)
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
			r.log(evidence.Entry{Stamp: &evidence.Stamp{Row: row, Recover: millis(last.Sub(r.restoredAt))}}, p.now)
		}
	}
}

// decision is a decision as it is written down.
func (s *session) decision(t turn, message string, cuts []evidence.Cut) *evidence.Turn {
	d := &evidence.Turn{At: t.at, Next: t.next, Evidence: t.evidence, Limits: t.limits, Intent: t.intent, Blind: s.lost != nil, Message: message, Cuts: cuts, Approvals: t.granted.counting}
	if t.picture != nil {
		d.Look = t.picture.looked(nil, s.coveredAs(t.at), s.stepName(t.at))
		if t.at.Phase == v1alpha1.PhaseObserve && t.next.Phase != v1alpha1.PhaseObserve {
			d.LossRate = t.picture.lossRate()
		}
	}
	if d.Toggles() {
		d.Look = nil // a person who pauses a run a thousand times leaves room for what it proves
	}
	return d
}

func millis(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
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
