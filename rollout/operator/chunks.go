package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// writeWithin bounds one attempt to write evidence down.
	writeWithin = 10 * time.Second
	// writeAgain is how long after a failed attempt the next one comes.
	writeAgain = 2 * time.Second
)

// chain is what a run writes down, and how far that has come. Nothing that gives paths
// back ever waits for it: what may take long goes on aside. The zero chain keeps
// nothing.
type chain struct {
	links  *evidence.Chain // nil: nothing is kept
	spent  evidence.Spent
	job    *job          // under way, or over and not looked at; nil: none
	turn   *turn         // that the chunk in flight is for; nil: it is for none
	urgent bool          // a decision waits to be written down
	again  time.Time     // when the next attempt may come
	shown  evidence.Head // of the report that is published
}

// job is a write aside.
type job struct {
	done    chan struct{}
	err     error  // once it is done
	seen    bool   // to be over, by a pass before
	names   bool   // it writes to the status of the run
	version string // of the run, once it is done and did; empty: it may have, or not
	// What is known of the published report once it is done; nil: it did not change that.
	published *publishing
}

func (j *job) over() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// open makes a record keep what it logs, after what the status of the run names.
func (c *chain) open(run *v1alpha1.PolicyRolloutRun) {
	c.links = &evidence.Chain{Run: run.Name, RunUID: string(run.UID)}
	c.links.Begin(report.HeadOf(run))
}

func (c *chain) keeps() bool { return c.links != nil }

func (c *chain) keep(e evidence.Entry) {
	if c.links != nil {
		c.links.Add(e)
	}
}

// wait waits for a write aside.
func (c *chain) wait() {
	if c.job != nil {
		<-c.job.done
	}
}

// seeEvidence takes note of what the status names. A chunk that it names is written
// down; one whose write failed is let go of, and its entries are part of the next. Where somebody
// else wrote, what this process knows of the chain is worth nothing: an error.
func (s *session) seeEvidence(run *v1alpha1.PolicyRolloutRun) error {
	r := &s.record
	if !r.keeps() {
		return nil
	}
	flight := r.links.Flight()
	settled, err := r.links.See(report.HeadOf(run))
	if err != nil {
		return fmt.Errorf("run %s: %w", run.Name, err)
	}
	if settled {
		r.spent += evidence.Of(flight.Size())
		for _, e := range flight.Last() {
			if err := r.Add(e); err != nil {
				slog.Error("the evidence of a run contradicts itself", "run", run.Name, "error", err)
			}
		}
		r.turn, r.urgent = nil, r.urgent && r.links.Pending() > 0
	}
	if r.job == nil || !r.job.over() {
		return nil
	}
	if !settled && !r.job.seen && r.job.names { // it may have ended after the status was read: the next pass reads what came of it
		r.job.seen = true
		s.wake()
		return nil
	}
	if err := r.job.err; err != nil && s.ctx.Err() == nil {
		r.again = time.Now().Add(writeAgain)
		slog.Warn("evidence could not be written down, and will be tried again", "run", run.Name, "error", err)
	}
	if r.turn == nil || r.job.err != nil {
		r.links.GiveUp()
		r.turn = nil
	}
	if known := r.job.published; known != nil {
		r.publishing = *known
	}
	r.job = nil
	return nil
}

// writeDown puts a decision that goes forward into a chunk, and reports whether that
// is stored, so that the decision may be recorded. The decision is the one that was
// stored: it was made a moment ago.
func (r *RunReconciler) writeDown(run *v1alpha1.PolicyRolloutRun, s *session, t *turn) (bool, error) {
	rec := &s.record
	switch {
	case rec.turn != nil && rec.job == nil && rec.turn.at == t.at && rec.turn.next == t.next:
		*t = *rec.turn
		return true, nil
	case rec.job != nil || time.Now().Before(rec.again):
		return false, nil // it may wait
	case rec.turn != nil: // of a decision that would not be made any more
		rec.links.GiveUp()
		rec.turn = nil
	}
	now := time.Now()
	t.message = s.sayWaves(run) + s.message(*t, run.Status.Cuts)
	if t.next.Phase.Terminal() {
		rec.closeWindow(now)
	} else {
		rec.remember(now)
	}
	e := evidence.Entry{At: now.Round(0).UTC(), Turn: s.decision(*t, clip(t.message, 4096), nil)}
	if err := r.startChunk(run, s, false, e); err != nil {
		return false, err
	}
	kept := *t
	rec.turn = &kept
	return false, nil
}

// flush writes down, aside, what is due: at the end of a window, and after a decision
// that was recorded first.
func (r *RunReconciler) flush(run *v1alpha1.PolicyRolloutRun, s *session, now time.Time) {
	rec := &s.record
	if !rec.keeps() || !rec.Begun() || rec.job != nil || now.Before(rec.again) {
		return
	}
	if rec.turn != nil { // stored, and not what is decided now
		rec.links.GiveUp()
		rec.turn = nil
	}
	began := rec.Report.Started
	window := rec.spent.Windows() && evidence.WindowEnded(since(began, rec.ended), now.Sub(began))
	if rec.ended.IsZero() {
		rec.ended = now
	}
	switch {
	case rec.links.Flight() != nil:
	case window || rec.urgent && rec.spent.Turns():
		rec.closeWindow(now)
		if err := r.startChunk(run, s, true); err != nil {
			slog.Error("evidence", "run", run.Name, "error", err)
		}
	case rec.shown != rec.links.Head():
		r.startPublishing(run, s)
	}
}

// startChunk stores, aside, all that is pending as a chunk. If named, it has the status
// name it, too; else that is for the decision to do.
func (r *RunReconciler) startChunk(run *v1alpha1.PolicyRolloutRun, s *session, named bool, last ...evidence.Entry) error {
	base := s.record.links.Head()
	f, err := s.record.links.Next(s.planDigest(), last...)
	if err != nil || f == nil {
		return err
	}
	run = run.DeepCopy()
	s.aside(named, func(ctx context.Context, j *job) error {
		if err := r.storeChunk(ctx, run, f); err != nil || !named {
			return err
		}
		version, err := r.name(ctx, run, base, f.Head)
		j.version = version
		return err
	})
	return nil
}

func (s *session) planDigest() string {
	if s.plan == nil {
		return ""
	}
	return s.plan.Digest()
}

// aside does a write of evidence beside the passes, which go on. The next pass sees
// what came of it. names says whether the status of the run is written, too.
func (s *session) aside(names bool, do func(context.Context, *job) error) {
	j := &job{done: make(chan struct{}), names: names}
	s.record.job = j
	ctx, stop := context.WithTimeout(s.ctx, writeWithin)
	go func() {
		defer stop()
		j.err = do(ctx, j)
		close(j.done)
		s.wake()
	}()
}

// storeChunk creates the object of a chunk. One that is there already is taken for it
// only if it is the same to the byte.
func (r *RunReconciler) storeChunk(ctx context.Context, run *v1alpha1.PolicyRolloutRun, f *evidence.Flight) error {
	immutable := true
	cm := &corev1.ConfigMap{ObjectMeta: keyOf(run).Meta(run.Namespace, f.Name(), roleEvidence), Immutable: &immutable,
		BinaryData: map[string][]byte{evidence.Key: f.Packed}}
	cm.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("PolicyRolloutRun"))}
	err := r.Write.Create(ctx, cm)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var now corev1.ConfigMap
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(cm), &now); err != nil {
		return err
	}
	if !keyOf(run).Made(&now) || !bytes.Equal(now.BinaryData[evidence.Key], f.Packed) {
		return writer.NotOurs("ConfigMap", &now)
	}
	return nil
}

// name has the status of a run name a chunk, and returns the version of the run that
// does. An answer that is lost is asked for: the status says what came of the write. One
// that names something else by now stays.
func (r *RunReconciler) name(ctx context.Context, run *v1alpha1.PolicyRolloutRun, base, head evidence.Head) (string, error) {
	for live := run.DeepCopy(); ; {
		switch now := report.HeadOf(live); {
		case live.UID != run.UID:
			return "", fmt.Errorf("run %s was deleted and made again", run.Name)
		case now == head:
			return live.ResourceVersion, nil
		case now != base:
			return "", fmt.Errorf("%w: the status of run %s names chunk %d by now", evidence.ErrChain, run.Name, now.Chunks)
		}
		err := r.Write.SetStatus(ctx, live, map[string]any{"evidence": map[string]any{"head": head.Digest, "chunks": head.Chunks}})
		if err == nil {
			return live.ResourceVersion, nil
		}
		if !apierrors.IsConflict(err) && !ambiguous(err) {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(run), live); err != nil {
			return "", err
		}
	}
}

// ambiguous reports whether a write may have been made although it failed.
func ambiguous(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || errors.Is(err, context.DeadlineExceeded) && err != nil
}

// lastEvidence writes the end of a run down and publishes its report. It returns the
// digest of that and the head of the chain, which the status is to name. An operator
// that was stopped between the status and the evidence left a chain that does not
// know the end.
func (r *RunReconciler) lastEvidence(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (string, evidence.Head, error) {
	head := report.HeadOf(run)
	if run.Status.Evidence == nil || run.Status.Evidence.ReportDigest != "" {
		return digestOfReport(run), head, nil
	}
	s, err := r.session(ctx, run)
	if err != nil {
		return "", head, err
	}
	s.close()
	rec := &s.record
	if rec.job != nil { // what it did may be newer than what was read of the run
		if err := r.deciding().Read.Get(ctx, client.ObjectKeyFromObject(run), run); err != nil {
			return "", head, err
		}
		head = report.HeadOf(run)
	}
	if err := s.seeEvidence(run); err != nil {
		r.drop(client.ObjectKeyFromObject(run))
		return "", head, err
	}
	if !rec.Begun() {
		return "", head, nil
	}
	r.catchUp(ctx, run, s)
	rec.links.GiveUp()
	if rec.links.Pending() > 0 {
		rec.closeWindow(time.Now())
	}
	f, err := rec.links.Next(run.Status.PlanDigest)
	if err != nil {
		return "", head, err
	}
	if f != nil {
		if err := r.storeChunk(ctx, run, f); err != nil {
			return "", head, err
		}
		head = f.Head
	}
	digest, err := rec.publish(ctx, r.Write, r.Live, run)
	return digest, head, err
}

// readChunks follows the chain of a run back from the head that its status names.
func readChunks(ctx context.Context, live client.Reader, run *v1alpha1.PolicyRolloutRun) ([]*evidence.Chunk, evidence.Spent, error) {
	head := report.HeadOf(run)
	stored, err := report.Chain(head, run.Name, func(name string) ([]byte, error) {
		var cm corev1.ConfigMap
		err := live.Get(ctx, types.NamespacedName{Namespace: run.Namespace, Name: name}, &cm)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return cm.BinaryData[evidence.Key], err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the evidence of run %s: %w", run.Name, err)
	}
	var spent evidence.Spent
	for _, s := range stored {
		spent += evidence.Of(len(s.Packed))
	}
	chunks, _, err := evidence.Read(stored, run.Name, string(run.UID), head)
	return chunks, spent, err
}

// load reads what a controller before this one wrote down. What cannot be read proves
// nothing, and is proved again: a rollback must not wait for it, nor for an API server
// that does not show it.
func (r *record) load(ctx context.Context, live client.Reader, run *v1alpha1.PolicyRolloutRun) error {
	chunks, spent, err := readChunks(ctx, live, run)
	if err != nil && !errors.Is(err, evidence.ErrChain) && !placeOf(stateOf(run)).back() && intent(run) != v1alpha1.IntentAbort {
		return err
	}
	r.open(run)
	if err == nil {
		var book *report.Book
		if book, err = report.Weigh(chunks); err == nil {
			r.Book, r.spent = *book, spent
			err = r.State.read(book.Memory)
		}
	}
	if err != nil {
		slog.WarnContext(ctx, "what the run had proved cannot be read, so it is proved again", "run", run.Name, "error", err)
		r.Book, r.State = report.Book{}, recordState{}
	}
	return nil
}

// catchUp notes a decision that the status has and the entries have not.
func (r *record) catchUp(run *v1alpha1.PolicyRolloutRun) {
	if at := stateOf(run); r.Begun() && r.keeps() && r.Book.State != at && at.Phase != v1alpha1.PhasePending {
		r.log(evidence.Entry{Gap: &evidence.Gap{Next: at, Message: run.Status.Message}}, phaseSince(run))
		r.urgent = true
	}
}

// recordName is where an earlier release kept a run's record, in Tightrope's namespace.
func recordName(run string) types.NamespacedName {
	return types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-report"}
}

// read takes what a controller before this one remembered; nothing is nothing.
func (st *recordState) read(raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, st)
}
