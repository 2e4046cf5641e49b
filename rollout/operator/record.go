package operator

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// record is what a run has proved so far: the report that its entries make, and what
// is not written down yet. Everything in the report goes through log, so that whoever
// has the entries can make the same report. People read a copy: see publish. The zero
// value is empty.
type record struct {
	report.Book
	State recordState

	seen   map[string]seen // by agent and check: totals at the last pass
	window map[counted]*evidence.Count
	lines  map[types.NamespacedName]uint64 // of agents, that are missing and not written down yet
	ended  time.Time                       // when the newest window ended
	cells  []cell                          // of the rows
	rowOf  map[cell]int
	rows   map[cell]*report.Path
	chain
	publishing
	// The stamps of the rollback, on this process's monotonic clock.
	decidedAt, restoredAt time.Time
}

// recordState is what proves nothing and must survive a restart.
type recordState struct {
	// Settle is the slowest effect of a policy that preflight measured; 0: not measured.
	Settle time.Duration `json:"settle,omitempty"`
	// Label is the same of a label of a pod.
	Label time.Duration `json:"label,omitempty"`
	// Profile is what the EnforcementProfile of the cluster said; zero: nothing that counts.
	Profile timings `json:"profile,omitzero"`
	// Tolerated are changes of the baseline that a held run goes on with: by policy, the digest of what it is now.
	Tolerated map[string]string `json:"tolerated,omitempty"`
}

// counted is whose attempts a window counts.
type counted struct {
	row   int
	agent types.NamespacedName
}

// log writes an entry down and lets the report follow from it. What contradicts what
// was written down before is told: it is an error of ours, and hinders nothing.
func (r *record) log(e evidence.Entry, at time.Time) {
	e.At = at.Round(0).UTC()
	if err := r.Add(e); err != nil {
		slog.Error("the evidence of a run contradicts itself", "run", r.Report.Run, "error", err)
	}
	r.keep(e)
}

// begin fills in what the plan knows.
func (r *record) begin(p *Plan, now time.Time) {
	if !r.Begun() {
		r.log(evidence.Entry{Begin: p.begins()}, now)
	}
	if r.rows == nil {
		r.index(p)
	}
}

// index finds the rows of the report by cell.
func (r *record) index(p *Plan) {
	_, r.cells = rowsOf(p)
	r.seen, r.window = map[string]seen{}, map[counted]*evidence.Count{}
	r.rowOf, r.rows = map[cell]int{}, map[cell]*report.Path{}
	for i, c := range r.cells {
		if i < len(r.Report.Paths) {
			r.rowOf[c], r.rows[c] = i, &r.Report.Paths[i]
		}
	}
}

// begins is what the run is about.
func (p *Plan) begins() *evidence.Begin {
	b := &evidence.Begin{Run: p.Run, Rollout: p.Rollout, Wave: p.wave(), Steps: p.Steps}
	b.Rows, _ = rowsOf(p)
	for _, x := range p.policies() {
		b.Policies = append(b.Policies, evidence.Policy(x))
	}
	for _, x := range p.Predicted {
		b.Predicted = append(b.Predicted, evidence.Prediction(x))
	}
	for _, x := range p.Exposures {
		b.Exposures = append(b.Exposures, evidence.Exposure(x))
	}
	for _, x := range p.notTested() {
		b.NotTested = append(b.NotTested, evidence.NotTested(x))
	}
	for _, id := range p.Identities {
		b.Access = append(b.Access, evidence.Access{Identity: id.Name, Namespace: id.Namespace, Pods: []string{p.AgentName(id.Name, true), p.AgentName(id.Name, false)}})
	}
	return b
}

// notTested states what no run of this version can say.
func (p *Plan) notTested() []report.NotTested {
	out := slices.Clone(p.Unprobeable)
	for _, step := range p.Steps {
		if step.Scope == rollout.ProbePods {
			out = append(out, report.NotTested{What: "ingress rules of the candidates", Phase: step.Name,
				Reason: "no production pod is touched in this stage; ingress is first enforced on the pods of the next canary stage"})
		}
	}
	return out
}

// qualified are the cells that worked before the change; nil when that is not known.
func (r *record) qualified() map[cell]bool {
	if r.Qualified == nil {
		return nil
	}
	out := map[cell]bool{}
	for i, c := range r.cells {
		out[c] = r.Qualified[i]
	}
	return out
}

func (c cell) String() string { return fmt.Sprintf("%d/%s", c.path, c.via) }

// lossRate is how much is lost of what should get through.
func (p *picture) lossRate() float64 {
	var attempts, lost int64
	for _, s := range p.sights {
		if s.state.Connected > s.state.Blocked && p.plan.Paths[s.route.path].Expect == v1alpha1.ExpectAllow {
			attempts += s.state.Attempts
			lost += s.state.Blocked
		}
	}
	if attempts == 0 {
		return 0
	}
	return float64(lost) / float64(attempts)
}

// closeWindow writes down what was counted since the last window, and what a restarted
// controller needs.
func (r *record) closeWindow(now time.Time) {
	if !r.Begun() {
		return
	}
	counts := &evidence.Counts{}
	for _, c := range slices.SortedFunc(maps.Values(r.window), func(a, b *evidence.Count) int {
		if a.Row != b.Row {
			return a.Row - b.Row
		}
		return compareText(a.Agent, b.Agent)
	}) {
		counts.Rows = append(counts.Rows, *c)
	}
	clear(r.window)
	if len(counts.Rows) > 0 {
		r.log(evidence.Entry{Counts: counts}, now)
	}
	r.remember(now)
	r.ended = now
}

// missing notes that lines of an agent are missing. They are written down with the next window or decision.
func (r *record) missing(agent types.NamespacedName, lines uint64) {
	if r.lines == nil {
		r.lines = map[types.NamespacedName]uint64{}
	}
	r.lines[agent] += lines
}

// remember writes down what a restarted controller goes on from.
func (r *record) remember(now time.Time) {
	for _, agent := range slices.SortedFunc(maps.Keys(r.lines), func(a, b types.NamespacedName) int { return compareText(a.String(), b.String()) }) {
		r.log(evidence.Entry{Lost: &evidence.Lost{Agent: agent.String(), Lines: r.lines[agent]}}, now)
	}
	clear(r.lines)
	raw, err := json.Marshal(r.State)
	if err != nil {
		panic(err) // plain data always marshals
	}
	r.log(evidence.Entry{Memory: raw}, now)
}
