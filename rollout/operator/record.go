package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// stateKey is what a restarted operator needs, in the report's ConfigMap.
const stateKey = "state.json"

// record is what a run has proved so far. It is written to a ConfigMap in
// Tightrope's namespace at every change of phase and every few seconds, so that a
// restarted operator goes on from it. People read a copy: see publish. The zero
// value is empty.
type record struct {
	Report report.Report `json:"report"`
	State  recordState   `json:"state"`

	seen    map[string]seen // by agent and check: totals at the last pass
	rows    map[cell]*report.Path
	savedAt time.Time
	stored  *metav1.ObjectMeta // of the ConfigMap as written last; nil: not by this process
	publishing
	cutAt map[string]int // index in Report.Cuts by path and way
	// The stamps of the rollback, on this process's monotonic clock.
	decidedAt, restoredAt time.Time
}

// recordState is what is not in the report and must survive a restart.
type recordState struct {
	// Qualified lists the rows that worked before the change, as index/way; nil: not known.
	Qualified []string `json:"qualified"`
	// LossRate of attempts that should succeed, measured before the change.
	LossRate float64 `json:"lossRate"`
	// Cells counts, per live phase, what needed proof and what had it.
	Cells map[string]report.Coverage `json:"cells"`
	// Soaked is how much of the current step's soak is over.
	Soaked soakedState `json:"soaked"`
	// Settle is the slowest effect of a policy that preflight measured; 0: not measured.
	Settle time.Duration `json:"settle,omitempty"`
	// Label is the same of a label of a pod.
	Label time.Duration `json:"label,omitempty"`
	// Profile is what the EnforcementProfile of the cluster said; zero: nothing that counts.
	Profile timings `json:"profile,omitzero"`
	// LeakThrough lists policies of others that a leak went through.
	LeakThrough []string `json:"leakThrough,omitempty"`
	// Tolerated are changes of the baseline that a held run goes on with: by policy, the digest of what it is now.
	Tolerated map[string]string `json:"tolerated,omitempty"`
}

// soakedState is how long the proof of a step was complete.
type soakedState struct {
	Place string        `json:"place"`
	For   time.Duration `json:"for"`
}

// recordName is the ConfigMap that holds a run's record: the report so far and the
// state, in Tightrope's namespace, where no tenant can write. It is called report
// since the report had no other place, and a release finds what the last one wrote.
func recordName(run string) types.NamespacedName {
	return types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-report"}
}

// begin fills in what the plan knows.
func (r *record) begin(p *Plan, now time.Time) {
	rep := &r.Report
	if rep.Started.IsZero() {
		rep.Started = now
		rep.NotTested = p.notTested()
		r.phase("preflight", rollout.Nobody.String(), "", now)
	}
	rep.SchemaVersion = report.SchemaVersion
	rep.Run, rep.Rollout = p.Run, p.Rollout
	rep.Policies, rep.Predicted, rep.Exposures = p.policies(), p.Predicted, p.Exposures
	if r.rows != nil {
		return
	}
	r.seen, r.cutAt, r.rows = map[string]seen{}, map[string]int{}, map[cell]*report.Path{}
	if len(rep.Paths) == 0 {
		for i, path := range p.Paths {
			for _, via := range path.Ways() {
				rep.Paths = append(rep.Paths, p.row(i, via))
			}
		}
	}
	n := 0
	for i, path := range p.Paths {
		for _, via := range path.Ways() {
			r.rows[cell{i, via}] = &rep.Paths[n]
			n++
		}
	}
	for i, c := range rep.Cuts {
		r.cutAt[c.Path+"\x00"+c.Via] = i
	}
	r.access(p, now)
}

func (p *Plan) row(i int, via v1alpha1.Via) report.Path {
	path := p.Paths[i]
	id, _ := p.Identity(path.From)
	return report.Path{
		Name: path.Name, From: report.Workload{Namespace: id.Namespace, Identity: path.From},
		To:   report.Service{Namespace: path.To.Service.Namespace, Name: path.To.Service.Name},
		Port: path.To.Service.Port, Protocol: path.Protocol(), Via: string(via), Expect: string(path.Expect),
		Finding: report.Inconclusive,
	}
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

func (r *record) access(p *Plan, now time.Time) {
	if len(r.Report.TemporaryAccess) > 0 {
		return
	}
	for _, id := range p.Identities {
		pods := []string{p.AgentName(id.Name, true), p.AgentName(id.Name, false)}
		r.Report.TemporaryAccess = append(r.Report.TemporaryAccess, report.Access{
			Identity: id.Name, Namespace: id.Namespace, Pods: pods, From: now})
	}
}

// qualified are the rows that worked before the change; nil when that is not known.
func (r *record) qualified() map[cell]bool {
	if r.State.Qualified == nil {
		return nil
	}
	out := map[cell]bool{}
	for c := range r.rows {
		out[c] = slices.Contains(r.State.Qualified, c.String())
	}
	return out
}

func (c cell) String() string { return fmt.Sprintf("%d/%s", c.path, c.via) }

// qualify writes down which rows work while nothing is applied, and how much is lost.
func (r *record) qualify(p *picture, cells map[cell]*judged) {
	var attempts, lost int64
	for _, s := range p.sights {
		if s.state.Connected > s.state.Blocked && p.plan.Paths[s.route.path].Expect == v1alpha1.ExpectAllow {
			attempts += s.state.Attempts
			lost += s.state.Blocked
		}
	}
	if attempts > 0 {
		r.State.LossRate = float64(lost) / float64(attempts)
	}
	r.State.Qualified = []string{}
	for c, j := range cells {
		path := p.plan.Paths[c.path]
		switch {
		case path.Expect != v1alpha1.ExpectAllow:
		case j.works:
			r.State.Qualified = append(r.State.Qualified, c.String())
		default:
			not := report.NotTested{What: fmt.Sprintf("path %q by %s", path.Name, c.via),
				Reason: "it did not work before the change, so nothing can be said of what the change did to it: " + j.note}
			if !slices.Contains(r.Report.NotTested, not) { // a decision that was not recorded is made again
				r.Report.NotTested = append(r.Report.NotTested, not)
			}
		}
	}
	slices.Sort(r.State.Qualified)
}

// save writes the report and the state; a conflict or an outage is tried again
// with the next pass.
func (r *record) save(ctx context.Context, write *writer.Writer, live client.Reader, run *v1alpha1.PolicyRolloutRun) error {
	data, binary, err := report.Store(&r.Report)
	if err != nil {
		return err
	}
	state, err := json.Marshal(r.State)
	if err != nil {
		return fmt.Errorf("state of run %s: %w", run.Name, err)
	}
	if data == nil {
		data = map[string]string{}
	}
	data[stateKey] = string(state)
	key := recordName(run.Name)
	cm := &corev1.ConfigMap{
		ObjectMeta: keyOf(run).Meta(key.Namespace, key.Name, roleReport),
		Data:       data, BinaryData: binary,
	}
	if r.stored, err = store(ctx, write, live, keyOf(run), cm, r.stored); err != nil {
		return fmt.Errorf("write the record of run %s: %w", run.Name, err)
	}
	r.savedAt = time.Now()
	return nil
}

// store writes a ConfigMap over the one that this process wrote last, and returns
// what it is now. Where there is another by now, or none was written yet, it looks
// whether that is the run's.
func store(ctx context.Context, write *writer.Writer, live client.Reader, run runKey, cm *corev1.ConfigMap, last *metav1.ObjectMeta) (*metav1.ObjectMeta, error) {
	put := func() error {
		if last == nil {
			return write.Create(ctx, cm)
		}
		cm.UID, cm.ResourceVersion = last.UID, last.ResourceVersion
		return write.Update(ctx, cm)
	}
	err := put()
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		var now corev1.ConfigMap
		switch err := live.Get(ctx, client.ObjectKeyFromObject(cm), &now); {
		case apierrors.IsNotFound(err):
			last, cm.UID, cm.ResourceVersion = nil, "", ""
		case err != nil:
			return last, err
		case !run.Made(&now):
			return last, writer.NotOurs("ConfigMap", &now)
		default:
			last = &now.ObjectMeta
		}
		err = put()
	}
	if err == nil {
		last = &cm.ObjectMeta
	}
	return last, err
}

// load reads what an operator before this one wrote; nothing there is nothing
// known, and so is what does not parse: a rollback must not wait for it.
func (r *record) load(ctx context.Context, c client.Reader, run runKey) error {
	var cm corev1.ConfigMap
	err := c.Get(ctx, recordName(run.Name), &cm)
	if apierrors.IsNotFound(err) || err == nil && !run.Made(&cm) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read the record of run %s: %w", run.Name, err)
	}
	rep, err := report.Stored(cm.Data, cm.BinaryData)
	if err == nil {
		err = json.Unmarshal([]byte(cm.Data[stateKey]), &r.State)
	}
	if err != nil {
		slog.WarnContext(ctx, "what the run had proved cannot be read, so it is proved again", "run", run.Name, "error", err)
		*r = record{}
		return nil
	}
	r.Report = *rep
	return nil
}

// phase opens a phase of the report and closes the one before.
func (r *record) phase(name, scope, outcome string, now time.Time) {
	phases := r.Report.Phases
	if n := len(phases); n > 0 && phases[n-1].To.IsZero() {
		phases[n-1].To, phases[n-1].Outcome = now, outcome
	}
	if name != "" {
		phases = append(phases, report.Phase{Name: name, From: now, Outcome: "Running", Scope: scope})
	}
	r.Report.Phases = phases
}
