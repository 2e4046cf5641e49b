package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// table is a list of the report in the form that documents share. Its cells are
// not sanitized: each writer does that as it escapes.
type table struct {
	ID    string // anchor, unique in a document
	Title string
	About string // what the list means, in a sentence
	None  string // what to say when it is empty
	Head  []column
	Rows  []line
}

type column struct {
	Name string
	Code bool // an identifier or a rule, to be set in a fixed pitch
	Num  bool // a figure
}

type line struct {
	ID    string // anchor; empty for none
	Tone  tone
	Cells []string
}

func phasesTable(r *Report) table {
	t := table{ID: "timeline", Title: "Timeline", None: "No phase was recorded.",
		Head: []column{{Name: "Phase"}, {Name: "Outcome"}, {Name: "From (UTC)", Num: true}, {Name: "Lasted", Num: true}, {Name: "Scope"}}}
	for _, p := range r.Phases {
		m := phaseMark(p.Outcome)
		t.Rows = append(t.Rows, line{Tone: m.Tone,
			Cells: []string{p.Name, m.Symbol + " " + m.Word, clock(p.From), between(p.From, p.To), p.Scope}})
	}
	return t
}

func pathsTable(r *Report) table {
	t := table{ID: "paths", Title: "Every path, by every way",
		About: "One row for each way a path was tried, what does not hold first. Failed are attempts that ended other than expected while they could vote.",
		None:  "No path was tested.",
		Head: []column{{Name: "Finding"}, {Name: "From → to", Code: true}, {Name: "Way"}, {Name: "Expected"},
			{Name: "Failed", Num: true}, {Name: "Seen (UTC)", Num: true}, {Name: "Path"}, {Name: "Rule or note"}}}
	for _, i := range worstFirst(r.Paths) {
		p := r.Paths[i]
		t.Rows = append(t.Rows, line{ID: fmt.Sprintf("path-%d", i), Tone: p.Finding.tone(), Cells: []string{
			p.Finding.symbol() + " " + p.Finding.word(), endToEnd(p), p.Via, expected(p.Expect),
			fmt.Sprintf("%d of %d", p.Failures, p.Attempts), seen(p), p.Name, joined("; ", p.Rule, p.Note)}})
	}
	return t
}

// worstFirst orders rows by severity, and else leaves them as they are.
func worstFirst(rows []Path) []int {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rows[b].Finding.severity() - rows[a].Finding.severity() })
	return order
}

func endToEnd(p Path) string { return p.From.String() + " → " + p.To.String() + ":" + portOf(p) }

// expected is what the policies should do to a path: allow or deny.
func expected(expect string) string {
	return strings.ToLower(shorten(Sanitize(expect), 20))
}

// seen says when a row was first and last tried, in UTC.
func seen(p Path) string {
	if p.FirstSeen.IsZero() && p.LastSeen.IsZero() {
		return "never"
	}
	const layout = "15:04:05"
	return p.FirstSeen.UTC().Format(layout) + " – " + p.LastSeen.UTC().Format(layout)
}

// joined joins the parts that are not empty.
func joined(sep string, parts ...string) string {
	var some []string
	for _, p := range parts {
		if p != "" {
			some = append(some, p)
		}
	}
	return strings.Join(some, sep)
}

func cutsTable(r *Report) table {
	t := eventsTable(r, r.Cuts)
	t.ID, t.Title = "cuts", "Cuts"
	t.About = "Paths that must work and did not. Each latency counts from the end of the one before."
	t.None = "No path was cut."
	return t
}

func leaksTable(r *Report) table {
	t := eventsTable(r, r.Leaks)
	t.ID, t.Title = "leaks", "Leaks"
	t.About = "Paths that must not work and did. A leak holds the rollout: rolling back would widen it."
	t.None = "No path leaked."
	return t
}

func eventsTable(r *Report, list []Cut) table {
	t := table{Head: []column{{Name: "Path"}, {Name: "From → to", Code: true}, {Name: "Phase"}, {Name: "Cause"}, {Name: "Rule", Code: true},
		{Name: "Detect", Num: true}, {Name: "Decide", Num: true}, {Name: "Restore", Num: true}, {Name: "Recover", Num: true}}}
	x := indexOf(r)
	for _, c := range list {
		where := unknown
		if row, ok := x.row(c); ok {
			where = endToEnd(row)
		}
		l := c.Latencies
		t.Rows = append(t.Rows, line{Tone: bad, Cells: []string{joined(" by ", c.Path, c.Via), where, c.Phase,
			joined(": ", c.Cause, c.Outcome), c.Rule, millis(l.Detect), millis(l.Decide), millis(l.Restore), millis(l.Recover)}})
	}
	return t
}

func notTestedTable(r *Report) table {
	t := table{ID: "not-tested", Title: "What was not tested",
		About: "This run says nothing about these.",
		None:  "The run recorded nothing that it left out.",
		Head:  []column{{Name: "What"}, {Name: "Phase"}, {Name: "Why"}}}
	for _, n := range r.NotTested {
		t.Rows = append(t.Rows, line{Cells: []string{n.What, n.Phase, n.Reason}})
	}
	return t
}

func predictedTable(r *Report) table {
	t := table{ID: "predicted", Title: "Predicted before the run",
		About: "Paths whose verdict the candidate changes against the suite, computed from the policies alone.",
		None:  "The policies alone predict neither a cut nor a leak.",
		Head:  []column{{Name: "Prediction"}, {Name: "Path"}, {Name: "Rule", Code: true}, {Name: "Exception"}}}
	for _, p := range r.Predicted {
		f, exception := Finding(p.Finding), ""
		if p.Accepted != "" {
			exception = "accepted: " + p.Accepted
		}
		t.Rows = append(t.Rows, line{Tone: f.tone(), Cells: []string{f.symbol() + " " + f.word(), p.Path, p.Rule, exception}})
	}
	return t
}

func exposuresTable(r *Report) table {
	t := table{ID: "exposures", Title: "Exposures",
		About: "Edges that neither the baseline nor the candidate allows, but some mix of pod states on the way did.",
		None:  "No mix of pod states allows more than the baseline and the candidate together.",
		Head:  []column{{Name: "From", Code: true}, {Name: "To", Code: true}, {Name: "Port", Code: true}, {Name: "Phase"}}}
	for _, e := range r.Exposures {
		t.Rows = append(t.Rows, line{Tone: warn, Cells: []string{e.From, e.To, e.Port, e.Phase}})
	}
	return t
}

// approvalsTable has no row where nobody had to approve anything; then writers leave it out.
func approvalsTable(r *Report) table {
	t := table{ID: "approvals", Title: "Approvals",
		About: "What people let the run do. None of it stands in for a proof.",
		Head: []column{{Name: "Action"}, {Name: "Stage"}, {Name: "Approver", Code: true}, {Name: "At (UTC)", Num: true}, {Name: "Reason"},
			{Name: "Object", Code: true}, {Name: "Plan", Code: true}}}
	for _, a := range r.Approvals {
		t.Rows = append(t.Rows, line{Cells: []string{joined(" ", a.Action, a.Gate), a.Stage, a.Approver, clock(a.At), a.Reason, joined(" ", a.Name, a.UID), a.PlanDigest}})
	}
	return t
}

func accessTable(r *Report) table {
	t := table{ID: "access", Title: "Temporary access",
		About: "Reach that probe pods had while the run lasted: they wear the labels of the workloads they speak for.",
		None:  "No probe pod was recorded.",
		Head: []column{{Name: "Identity", Code: true}, {Name: "Pods", Code: true}, {Name: "From (UTC)", Num: true},
			{Name: "To (UTC)", Num: true}}}
	for _, a := range r.TemporaryAccess {
		t.Rows = append(t.Rows, line{Cells: []string{named(a.Namespace, a.Identity), strings.Join(a.Pods, " "), clock(a.From), clock(a.To)}})
	}
	return t
}

func policiesTable(r *Report) table {
	t := table{ID: "policies", Title: "Policies",
		About: "The candidate set as it was rolled out.",
		None:  "The candidate set is empty.",
		Head:  []column{{Name: "Policy", Code: true}, {Name: "SHA-256", Code: true}}}
	changes := slices.ContainsFunc(r.Policies, func(p Policy) bool { return p.Before != "" })
	if changes {
		t.Head = append(t.Head, column{Name: "Before", Code: true})
		t.About = "The candidate set as it was rolled out, and what was there of it before."
	}
	for _, p := range r.Policies {
		cells := []string{p.Name, cmp.Or(p.SHA256, "removed")}
		if changes {
			cells = append(cells, cmp.Or(p.Before, "–"))
		}
		t.Rows = append(t.Rows, line{Cells: cells})
	}
	return t
}

// facts are the run's identity, in the order people ask for it.
func facts(r *Report) [][2]string {
	all := [][2]string{
		{"Result", resultMark(r.Result).Symbol + " " + resultMark(r.Result).Word},
		{"Expected", expectation(r)},
		{"Scenario", r.Scenario}, {"Rollout", r.Rollout}, {"Run", r.Run}, {"Wave", r.Wave.String()}, {"Cluster", r.Cluster},
		{"Started", date(r.Started)}, {"Lasted", between(r.Started, r.Ended)},
		{"Coverage", coverage(r.Coverage)}, {"Timings", r.Timings},
	}
	var some [][2]string
	for _, f := range all {
		if f[1] != "" {
			some = append(some, [2]string{f[0], Sanitize(f[1])})
		}
	}
	return some
}

// expectation shows what a scenario wanted, apart from what it got; empty
// outside a scenario.
func expectation(r *Report) string {
	if r.Expected == "" {
		return ""
	}
	word := resultMark(r.Expected).Word
	if ok, _ := r.Verdict(); ok {
		return word + ": met"
	}
	if r.Result == r.Expected {
		return word + ": met, but not all the rest"
	}
	return word + ": not met"
}

func coverage(c Coverage) string {
	if c.Required <= 0 {
		return "no cell was required"
	}
	return fmt.Sprintf("%d of %s proved (%d %%)", c.Proved, count(c.Required, "cell"), percent(c))
}

// percent rounds down: 100 means all of them.
func percent(c Coverage) int {
	if c.Required <= 0 {
		return 0
	}
	return int(min(100, max(0, int64(c.Proved)*100/int64(c.Required))))
}
