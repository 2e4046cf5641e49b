package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// rowsOf lists the cells of a plan in their order, and says what each is about.
func rowsOf(p *Plan) (rows []evidence.Row, cells []cell) {
	for i, path := range p.Paths {
		id, _ := p.Identity(path.From)
		for _, via := range path.Ways() {
			cells = append(cells, cell{i, via})
			rows = append(rows, evidence.Row{
				Path: path.Name, Namespace: id.Namespace, From: path.From, ToNS: path.To.Service.Namespace, To: path.To.Service.Name,
				Port: path.To.Service.Port, Protocol: path.Protocol(), Via: via, Expect: path.Expect,
				Advisory: !path.Votes(), MayFail: path.MayFail,
			})
		}
	}
	return rows, cells
}

// facts are what judging one check reads: what its attempts show, and what the cluster
// is. What no judgement of such a check asks for is left out.
func (p *picture) facts(row int, s sight) evidence.Check {
	path, st := p.plan.Paths[s.route.path], s.state
	c := evidence.Check{Row: row, Agent: s.from.String(), Last: st.Last, Streak: st.Streak, StreakSinceMark: st.StreakSinceMark,
		Connected: st.ConnectedSinceMark, Blocked: st.BlockedSinceMark, Stopped: st.StoppedSinceMark}
	c.Set(evidence.Fresh, p.fresh(s))
	switch {
	case path.Expect != v1alpha1.ExpectAllow:
		p.denyFacts(s, path, &c)
	case p.scope == rollout.Nobody:
		c.Poor = p.unqualified(s)
		p.failureFacts(s, path, &c) // they tell what a rollback could not bring back
	default:
		p.allowFacts(s, path, &c)
	}
	return c
}

// allowFacts are those about a path that must work, after the change.
func (p *picture) allowFacts(s sight, path plan.Path, c *evidence.Check) {
	if part := p.partly(s, path); part.denied != nil {
		c.Share = part.share
		c.Part = fmt.Sprintf("a Service may send any attempt to pod %s/%s, and the live policies deny that: %s", part.denied.pod.Namespace, part.denied.pod.Name, part.why.Rule())
	}
	if c.Part != "" || s.state.Last.Blocked() {
		rule, _ := p.deniedByOthers(s)
		c.Set(evidence.Others, rule != "")
	}
	p.failureFacts(s, path, c)
}

// failureFacts are those about a path that must work and fails.
func (p *picture) failureFacts(s sight, path plan.Path, c *evidence.Check) {
	if !s.state.Last.Blocked() || !path.Votes() {
		return
	}
	c.Set(evidence.Moved, p.moved(s))
	c.Set(evidence.Explained, p.explained(s, path))
	c.Set(evidence.Down, p.alive(s) == probes.AliveNo)
	c.Set(evidence.Lasted, p.lasts(s))
	if p.unseen {
		c.Set(evidence.Answered, p.answers(s))
	}
	if c.Is(evidence.Lasted) && !c.Is(evidence.Explained) {
		c.Set(evidence.Shared, p.isShared(s))
	}
	c.Set(evidence.Recent, p.recent != nil && p.recent(s.began()))
}

// denyFacts are those about a path that must not work, after the change.
func (p *picture) denyFacts(s sight, path plan.Path, c *evidence.Check) {
	if p.scope == rollout.Nobody {
		return
	}
	v, known := p.explain(s, path)
	c.Set(evidence.Known, known)
	c.Set(evidence.Denied, known && v.Decision == verdict.Deny)
	c.Set(evidence.Allowed, known && v.Decision == verdict.Allow)
	c.Set(evidence.Witnessed, p.witnessed(s, path) == probes.AliveYes)
	c.Set(evidence.Reopened, p.unseen && s.connectedAt.After(p.since))
	c.Open = p.openBackend(s, path)
}

// judge says what the picture proves, cell by cell, and keeps what that rests on.
func (p *picture) judge() map[cell]*judged {
	if p.rows == nil {
		p.rows, p.cells = rowsOf(p.plan)
	}
	index := make(map[cell]int, len(p.cells))
	for i, c := range p.cells {
		index[c] = i
	}
	p.facted = evidence.Look{Scope: p.scope, Settled: p.settled, Unseen: p.unseen, Whole: true, Confirm: p.threshold}
	p.sighted = p.sighted[:0]
	tried := make([]bool, len(p.cells))
	for i, s := range p.sights {
		row, ok := index[cell{s.route.path, s.route.via}]
		if s.route.witness || !ok { // the way was taken out of the plan
			continue
		}
		tried[row] = true
		p.facted.Checks, p.sighted = append(p.facted.Checks, p.facts(row, s)), append(p.sighted, i)
	}
	for row, was := range tried {
		if to := p.plan.Paths[p.cells[row].path].To.Service; !was {
			p.facted.Checks, p.sighted = append(p.facted.Checks, evidence.Check{Row: row,
				Gone: fmt.Sprintf("nobody tries it: Service %s/%s has no running pod behind it, or is gone", to.Namespace, to.Name)}), append(p.sighted, -1)
		}
	}
	p.weighed = p.facted.Judge(p.rows, p.voters())
	out := make(map[cell]*judged, len(p.cells))
	for i, j := range p.weighed {
		out[p.cells[i]] = &judged{
			tried: j.Tried, required: j.Required, proved: j.Proved, due: j.Due, holds: j.Holds, works: j.Works, undecided: j.Undecided, note: j.Note,
			cut: p.sightOf(j.Cut), leak: p.sightOf(j.Leak), failing: p.sightOf(j.Failing), shared: p.sightOf(j.Shared),
		}
		if leak := out[p.cells[i]].leak; leak != nil {
			leak.state.Last = probes.Reached // the newest attempt may be one that was stopped
		}
	}
	return out
}

// voters are the rows that worked before the change; nil: all may vote.
func (p *picture) voters() evidence.Qualified {
	if p.qualified == nil {
		return nil
	}
	out := evidence.Qualified{}
	for i, c := range p.cells {
		if p.qualified[c] {
			out[i] = true
		}
	}
	return out
}

// sightOf is a copy of what a check of the look was made of; nil: of none.
func (p *picture) sightOf(check int) *sight {
	if check == 0 {
		return nil
	}
	s := p.sights[p.sighted[check-1]]
	return &s
}

// looked is the look to write down: of every row, or of some. It says whom a check
// blames that fails or leaks, and of what works no more than judging asks for.
func (p *picture) looked(only map[int]bool, place, name string) *evidence.Look {
	l := p.facted
	l.Place, l.Name, l.Whole = place, name, only == nil
	l.Checks = nil
	for i, c := range p.facted.Checks {
		if only != nil && !only[c.Row] {
			continue
		}
		if at := p.sighted[i]; at >= 0 {
			c.Blame = p.blamed(i, p.sights[at], only != nil)
		}
		l.Checks = append(l.Checks, c)
	}
	slices.SortFunc(l.Checks, func(a, b evidence.Check) int {
		return cmp.Or(a.Row-b.Row, strings.Compare(a.Agent, b.Agent))
	})
	l = l.Bounded()
	return &l
}

// blamed says why a check ended as it must not; nil: it did not. Whom a leak goes
// through is asked where the leak is news.
func (p *picture) blamed(i int, s sight, news bool) *evidence.Blame {
	c := &p.facted.Checks[i]
	j, allow := p.weighed[c.Row], p.rows[c.Row].Allow()
	leak := !allow && j.Leak != 0 && news
	rule, did := p.deniedByOthers(s)
	if !leak && rule == "" && (!allow || !c.Last.Blocked() && j.Cut != i+1 && j.Failing != i+1) {
		return nil
	}
	if leak {
		s.state.Last = probes.Reached
	}
	b := p.blameOf(s)
	if leak {
		b.Leak, b.Through = p.blameLeak(s)
	}
	if b.Foreign = did; rule != "" && b.Cause != "DNS" {
		b.Rule = rule
	}
	return b
}

// blameOf says why an attempt fails, and what it tried.
func (p *picture) blameOf(s sight) *evidence.Blame {
	path := p.plan.Paths[s.route.path]
	b := &evidence.Blame{Outcome: string(s.state.Last)}
	b.Cause, b.Rule = p.blame(s)
	if s.route.target.Name != "" {
		b.Target = s.route.target.String()
	}
	if part := p.partly(s, path); b.Cause != "DNS" && part.denied != nil && path.Expect == v1alpha1.ExpectAllow {
		b.Target = part.denied.pod.Namespace + "/" + part.denied.pod.Name
		b.Outcome = fmt.Sprintf("%d of %d attempts failed", s.state.BlockedSinceMark, s.state.BlockedSinceMark+s.state.ConnectedSinceMark)
	}
	return b
}
