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
// policies may not have judged the new pods yet.
func (x *verifier) observe(ctx context.Context) error {
	began := time.Now()
	x.set.Mark(began)
	x.record.phase(verifyStep, rollout.Everyone.String(), "Passed", began)
	specs := x.agents()
	for {
		if err := x.read(ctx, verifyRead); err != nil {
			return err
		}
		waiting, err := x.ensure(ctx, specs)
		if err != nil {
			return err
		}
		x.judge(specs, time.Now())
		if left := x.undecided(); time.Since(began) >= x.For && left == "" {
			return nil
		} else if time.Since(began) >= x.For+undecidedFor {
			return nil // the report says of which path what is missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; %s", context.Cause(ctx), waiting)
		case <-time.After(verifyLook):
		}
	}
}

// undecidedFor is how much longer a verification goes on for paths that it could not
// decide on: failures that no policy explains must last, and a target may restart.
const undecidedFor = 20 * time.Second

// judge looks at what every check has seen, as a rollout does whose candidates are
// in force everywhere.
func (x *verifier) judge(specs []agentSpec, now time.Time) {
	p := &picture{
		plan: x.plan, world: x.world, live: x.plan.live(x.world), scope: rollout.Everyone, now: now,
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
	x.picture, x.cells = p, p.judge()
	x.record.tally(p, x.cells, verifyStep)
}

// undecided names a path of which more may be known soon; empty: there is none.
func (x *verifier) undecided() string {
	for c, j := range x.cells {
		if j.required && !j.proved && j.cut == nil && j.leak == nil {
			return x.plan.Paths[c.path].Name
		}
	}
	return ""
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
		r.cut(findCuts(x.picture, x.cells, verifyStep, time.Time{}), now)
		r.measuredLast(x.picture, x.cells)
	}
	for _, why := range x.plan.down {
		rep.NotTested = append(rep.NotTested, report.NotTested{What: why, Reason: "its target is down"})
	}
	rep.Policies = x.policies()
	result, cause, message := x.ending(failed)
	if result != resultVerified {
		r.phase("", "", "Failed", now)
	}
	r.end(result, cause, message, now)
	return rep
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
	votes := map[string]bool{}
	for _, path := range x.plan.Paths {
		votes[path.Name] = path.votes()
	}
	var broken, unproved []string
	holds := 0
	for _, row := range x.record.Report.Paths {
		name := fmt.Sprintf("%s via %s", row.Name, row.Via)
		switch {
		case row.Finding == report.Holds:
			holds++
		case !votes[row.Name]:
		case row.Finding == report.Inconclusive:
			unproved = append(unproved, fmt.Sprintf("%s: %s", name, cmp.Or(row.Note, "not enough conclusive attempts")))
		default:
			broken = append(broken, fmt.Sprintf("%s is a %s: %s", name, strings.ToLower(string(row.Finding)), row.Rule))
		}
	}
	switch {
	case len(broken) > 0:
		return resultViolated, "", told(broken, unproved)
	case len(unproved) > 0 || holds == 0:
		return "Inconclusive", "", told([]string{fmt.Sprintf("%d of %d rows are not proved", len(unproved), len(x.record.Report.Paths))}, unproved)
	}
	return resultVerified, "", fmt.Sprintf("%d of %d rows hold, on a cluster that enforces policies", holds, len(x.record.Report.Paths))
}

// policies are those of the namespaces that paths begin or end in: what was verified.
func (x *verifier) policies() []report.Policy {
	concerned := map[string]bool{}
	for _, path := range x.plan.Paths {
		id, _ := x.plan.identity(path.From)
		concerned[id.Namespace], concerned[path.To.Service.Namespace] = true, true
	}
	var out []report.Policy
	for _, p := range x.world.verdict.Policies {
		if concerned[p.Namespace] {
			out = append(out, report.Policy{Name: p.Key(), SHA256: digestOf(p.Spec)})
		}
	}
	slices.SortFunc(out, func(a, b report.Policy) int { return strings.Compare(a.Name, b.Name) })
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
