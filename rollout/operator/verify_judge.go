package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// Results of a verification, beside Inconclusive.
const (
	resultVerified = "Verified" // every path that votes holds
	resultViolated = "Violated" // one is cut, or leaks
)

// verifyStep is the name of the only phase of a verification that tries paths.
const verifyStep = "verify"

// observe tries every path for as long as was asked, and then for as long as some
// path is not decided and there is time. What was seen before counts for nothing:
// policies may not have judged the new pods yet. Nor does what was seen of policies
// that were changed meanwhile: then it begins anew.
func (x *verifier) observe(ctx context.Context) error {
	x.record.Phase(verifyStep, "", "Passed", time.Now())
	specs, oldest := x.agents(), verifyRead
	x.open(time.Now())
	for {
		if err := x.read(ctx, oldest); err != nil {
			return err
		}
		x.asked.see(x.nodes())
		x.anew(time.Now())
		waiting, err := x.ensure(ctx, specs)
		if err != nil {
			return err
		}
		over := x.judge(specs, time.Now())
		if over && oldest == 0 {
			return nil // of a path that is not decided the report says what is missing
		}
		oldest = verifyRead
		if over {
			oldest = 0 // nor may the policies have changed since they were read last
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; %s", context.Cause(ctx), waiting)
		case <-time.After(verifyLook):
		}
	}
}

// open lets what is seen count from a time on. What was seen before does not, in the
// totals neither.
func (x *verifier) open(at time.Time) {
	x.opened, x.counts, x.judged, x.cells, x.broke = at, false, x.judgedBy(), nil, map[cell]string{}
	x.set.Mark(at)
	x.record.forget()
}

// anew begins anew, once they have had time to take effect, if the policies are others
// than when it began.
func (x *verifier) anew(now time.Time) {
	if x.judgedBy() != x.judged {
		x.Progress("somebody changed the policies: what was seen counts no more")
		x.open(now.Add(2 * x.record.State.Settle))
	}
}

// judgedBy is a digest of what judges the paths: policies, and labels of namespaces.
func (x *verifier) judgedBy() string {
	labels := map[string]map[string]string{}
	for ns := range x.concerned() {
		labels[ns] = x.world.verdict.Namespaces[ns]
	}
	return plan.SumOf([]any{x.policies(), labels})
}

// judge judges what every check has seen, as a rollout does whose candidates are in
// force everywhere, and reports whether that is enough.
func (x *verifier) judge(specs []agentSpec, now time.Time) (over bool) {
	if now.Before(x.opened) {
		return false
	}
	p := x.look(specs, now)
	if !x.counts {
		x.counts = true
		x.record.skip(p)
	}
	x.picture, x.cells = p, p.judge()
	x.record.tally(p, verifyStep, verifyStep)
	for c, j := range x.cells {
		if j.cut != nil {
			_, x.broke[c] = p.blame(*j.cut)
		}
	}
	return now.Sub(x.opened) >= x.For+x.undecidedFor()
}

// healed makes the rows of paths that were cut for a while say so: they do not hold.
func (x *verifier) healed() {
	for c, rule := range x.broke {
		if row := x.record.rows[c]; row != nil && row.Finding == report.Holds {
			row.Finding, row.Note = report.Inconclusive, "it was cut for a while, although nobody changed the policies: "+rule
		}
	}
}

// look makes the picture of what every check has seen.
func (x *verifier) look(specs []agentSpec, now time.Time) *picture {
	p := &picture{
		plan: x.plan, since: x.opened, world: x.world, live: x.plan.live(x.world), scope: rollout.Everyone, now: now,
		settled: true, unseen: true, threshold: x.record.confirmations(x.plan), dns: x.world.nameServers(), ours: x.world.ours(),
	}
	routes := map[string]map[string]route{}
	for _, spec := range specs {
		routes[spec.name.String()] = spec.routes
	}
	for a := range x.set.Agents() {
		for id, r := range routes[a.Spec.Name.String()] {
			p.see(sight{from: a.Spec.Name, plan: a.Digest(), id: id, route: r, state: a.State(id), failedAt: a.FailedAt(id), connectedAt: a.ConnectedAt(id)})
		}
	}
	return p
}

// undecidedFor is how much longer a verification goes on for paths that it has not
// decided on: failures that no policy explains must last, and a target may restart.
// Where some path is cut or leaks the result is known, and only what needs a few
// more attempts is waited for.
func (x *verifier) undecidedFor() (more time.Duration) {
	known := false
	for _, j := range x.cells {
		switch {
		case j.cut != nil || j.leak != nil:
			known = true
		case j.required && !j.proved:
			more = 10 * time.Second
		}
	}
	if known {
		return min(more, 3*time.Second)
	}
	return more
}

// conclude makes the report. failed is why not everything was tried; nil: it was.
func (x *verifier) conclude(failed error) *report.Report {
	now, r := time.Now(), &x.record
	if r.rows == nil {
		r.begin(x.plan, now)
	}
	rep := &r.Report
	rep.Rollout, rep.Cluster = "", x.Cluster
	rep.Kind, rep.Run = report.KindVerify, x.title()
	rep.TemporaryAccess = x.access(now)
	if x.cells != nil {
		r.cutOff(findCuts(x.picture, x.cells, verifyStep, time.Time{}), now)
		x.healed()
		r.UnprovedLast(&x.picture.facted, x.picture.weighed) // a path that failed when last tried was judged: its target may be down
	}
	for _, why := range x.plan.down {
		rep.NotTested = append(rep.NotTested, report.NotTested{What: why, Reason: "its target is down"})
	}
	rep.NotTested = append(rep.NotTested, x.asked.notTested()...)
	rep.Policies = x.policies()
	x.plain(rep)
	result, cause, message := x.ending(failed)
	if result != resultVerified {
		r.Phase("", "", "Failed", now)
	}
	rep.Result, rep.Cause, rep.Message = result, cause, message
	r.End(now)
	return rep
}

// cutOff writes down what is cut in the end.
func (r *record) cutOff(found []foundCut, now time.Time) {
	for _, f := range found {
		f.entry.At = now
		f.entry.Latencies.Decide = millis(now.Sub(f.received))
		r.Report.Cuts = append(r.Report.Cuts, f.entry)
		row := r.rows[f.cell]
		row.Finding, row.Rule, row.Note = report.CutFinding, f.entry.Rule, ""
	}
}

// plain makes the report speak of identities, whose names are the same each time,
// and not of their probe pods. Nothing broke while it looked, so it timed nothing.
func (x *verifier) plain(rep *report.Report) {
	var names []string
	for _, spec := range x.agents() {
		names = append(names, spec.name.String(), spec.name.Namespace+"/"+spec.identity.Name)
	}
	say := strings.NewReplacer(names...)
	for i := range rep.Paths {
		rep.Paths[i].Rule, rep.Paths[i].Note = say.Replace(rep.Paths[i].Rule), say.Replace(rep.Paths[i].Note)
	}
	for _, list := range [][]report.Cut{rep.Cuts, rep.Leaks} {
		for i := range list {
			list[i].Rule, list[i].Latencies = say.Replace(list[i].Rule), report.Latencies{}
		}
	}
}

// title names the report, the same one each time: a CI compares runs by it.
func (x *verifier) title() string {
	var names []string
	for _, s := range x.Suites {
		names = append(names, s.Name)
	}
	return "verify " + strings.Join(names, ", ")
}

// ending says how it ended, why, and in words.
func (x *verifier) ending(failed error) (result, cause, message string) {
	switch {
	case x.problem != "":
		return "Inconclusive", string(rollout.CauseNotEnforced), "nothing was proved: " + x.problem
	case failed != nil:
		return "Inconclusive", string(rollout.CauseSilent), "nothing was proved: " + failed.Error()
	}
	var broken, unproved []string
	holds, rows := 0, len(x.record.Report.Paths)
	for i, path := range x.plan.Paths {
		for _, via := range path.Ways() {
			row := x.record.rows[cell{i, via}]
			name := fmt.Sprintf("%s via %s", path.Name, via)
			switch {
			case row != nil && row.Finding == report.Holds:
				holds++
			case !path.Votes():
			case row == nil || row.Finding == report.Inconclusive || row.Finding == "":
				unproved = append(unproved, name+": "+whyUnproved(row))
			default:
				broken = append(broken, fmt.Sprintf("%s is a %s: %s", name, strings.ToLower(string(row.Finding)), row.Rule))
			}
		}
	}
	if found := slices.Concat(x.record.Report.Cuts, x.record.Report.Leaks); len(broken) == 0 {
		for _, c := range found { // whatever the rows say: what was seen to break or to leak does not hold
			broken = append(broken, fmt.Sprintf("%s via %s was seen to be a %s: %s", c.Path, c.Via, kindOf(c), c.Rule))
		}
	}
	switch {
	case len(broken) > 0:
		return resultViolated, "", told(broken, unproved)
	case len(x.asked.late) > 0:
		return "Inconclusive", string(rollout.CauseNotEnforced), told([]string{fmt.Sprintf("nobody knows whether %s enforces policies: a probe pod or a target came there meanwhile; try again", strings.Join(x.asked.late, ", "))}, unproved)
	case len(unproved) > 0 || holds == 0 || holds < rows && !slices.ContainsFunc(x.plan.Paths, plan.Path.Votes):
		return "Inconclusive", "", told([]string{fmt.Sprintf("%d of %d ways are not proved", rows-holds, rows)}, unproved)
	}
	return resultVerified, "", fmt.Sprintf("%d of %d ways of %d paths hold, %s", holds, rows, len(x.plan.Paths), x.asked.where())
}

func whyUnproved(row *report.Path) string {
	if row == nil {
		return "nobody tried it"
	}
	return cmp.Or(row.Note, "not enough conclusive attempts")
}

// kindOf says what an entry of a report's cuts or leaks is.
func kindOf(c report.Cut) string {
	if c.Cause == "Leak" {
		return "leak"
	}
	return "cut"
}

// policies are those of the namespaces that paths begin or end in: what was verified.
func (x *verifier) policies() []report.Policy {
	concerned := x.concerned()
	var out []report.Policy
	for _, p := range x.world.verdict.Policies {
		if concerned[p.Namespace] {
			out = append(out, report.Policy{Name: p.Key(), SHA256: plan.SumOf(p.Spec)})
		}
	}
	slices.SortFunc(out, func(a, b report.Policy) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// concerned are the namespaces that paths begin or end in.
func (x *verifier) concerned() map[string]bool {
	out := map[string]bool{}
	for _, path := range x.plan.Paths {
		id, _ := x.plan.Identity(path.From)
		out[id.Namespace], out[path.To.Service.Namespace] = true, true
	}
	return out
}

// told is the first of some findings as a headline, and all else below it.
func told(first, rest []string) string {
	lines := append(append([]string{}, first...), rest...)
	return strings.Join(lines, "\n")
}

// access lists the reach that the probe pods had.
func (x *verifier) access(now time.Time) []report.Access {
	var out []report.Access
	for _, spec := range x.agents() {
		out = append(out, report.Access{Identity: spec.identity.Name, Namespace: spec.name.Namespace, Pods: []string{spec.name.Name}, From: x.record.Report.Started, To: now})
	}
	return out
}
