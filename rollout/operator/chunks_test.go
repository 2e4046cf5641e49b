package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

func isChunk(o client.Object) bool {
	cm, ok := o.(*corev1.ConfigMap)
	return ok && cm.Labels[v1alpha1.LabelRole] == roleEvidence
}

// A rollback is as fast where chunks are refused, or where the answer to one never
// comes, as where they are written: it never waits for them.
func TestARollbackNeverWaitsForEvidence(t *testing.T) {
	passes := map[string]int{}
	for name, chunk := range map[string]func(context.Context) error{
		"written": nil,
		"refused": func(context.Context) error {
			return apierrors.NewForbidden(corev1.Resource("configmaps"), "x", errors.New("a quota"))
		},
		"never answered": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		var asked atomic.Int32
		f := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if isChunk(o) && chunk != nil {
				asked.Add(1)
				return chunk(ctx)
			}
			return c.Create(ctx, o, opts...)
		}}
		run := aRun(v1alpha1.PhaseCanary, v1alpha1.IntentAbort)
		r, s := runningOver(t, f, run)
		s.plan.Steps = []rollout.StepPlan{{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: rollout.Few}}
		s.record.urgent = true
		r.flush(run, s, time.Now()) // a chunk is under way when the run is aborted
		for s.restore == restoreWiden && passes[name] < 20 {
			passes[name]++
			began := time.Now()
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(run)}); err != nil && !apierrors.IsConflict(err) {
				t.Fatalf("%s: %v", name, err)
			}
			if took := time.Since(began); took > writeWithin/2 {
				t.Errorf("%s: a pass took %v", name, took)
			}
		}
		if s.restore == restoreWiden || chunk != nil && asked.Load() == 0 {
			t.Errorf("%s: after %d passes it is not widened, or no chunk was asked for (%d)", name, passes[name], asked.Load())
		}
	}
	for name, n := range passes {
		if n > passes["written"]+1 { // a status write of evidence may cost a pass, and never a wait
			t.Errorf("where chunks are %s it takes %d passes, and %d where they are written", name, n, passes["written"])
		}
	}
}

// The answer to the status write is lost, whether it was made or not. The next chunk
// goes on from what the status says, and each decision is in the chain once.
func TestALostAnswerNeverForksTheChain(t *testing.T) {
	for name, made := range map[string]bool{"the write was made": true, "the write was not made": false} {
		lose := true
		f := interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if !lose {
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			}
			lose = false
			if made {
				if err := c.SubResource(sub).Patch(ctx, o, p, opts...); err != nil {
					return err
				}
			}
			return apierrors.NewTimeoutError("the answer is lost", 1)
		}}
		run := aRun(v1alpha1.PhaseCanary, v1alpha1.IntentRun)
		r, s := runningOver(t, f, run)
		key := client.ObjectKeyFromObject(run)
		for i := range 3 {
			s.record.missing(types.NamespacedName{Namespace: "a", Name: "agent"}, uint64(i+1))
			s.record.urgent = true
			r.flush(run, s, time.Now())
			s.record.wait()
			if err := r.Live.Get(t.Context(), key, run); err != nil {
				t.Fatal(err)
			}
			if err := s.seeEvidence(run); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.record.shown = s.record.links.Head()
		}
		chunks, _, err := readChunks(t.Context(), r.Live, run)
		if err != nil || lose {
			t.Fatalf("%s: %v, answer lost %v", name, err, !lose)
		}
		var lost []string
		for _, c := range chunks {
			for _, e := range c.Entries {
				if e.Lost != nil {
					lost = append(lost, fmt.Sprint(e.Lost.Lines))
				}
			}
		}
		if got := strings.Join(lost, " "); got != "1 2 3" || len(chunks) != 3 {
			t.Errorf("%s: %d chunks say %q lines were lost; want 3 and 1 2 3", name, len(chunks), got)
		}
	}
}

// A run ends while a chunk of it is being written, and the status comes to name that chunk
// after the run was read. The end is in the chain all the same.
func TestTheEndIsWrittenDownThoughAChunkIsUnderWay(t *testing.T) {
	ended := make(chan struct{}) // the run was read, and its session is being closed
	f := interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
		<-ended
		return c.SubResource(sub).Patch(context.WithoutCancel(ctx), o, p, opts...)
	}}
	run := aRun(v1alpha1.PhaseRollingBack, v1alpha1.IntentRun)
	run.Status.Cause = string(rollout.CauseAborted)
	r, s := runningOver(t, f, run)
	s.record.catchUp(run)
	writtenDown(t, r, s, run)
	s.record.missing(types.NamespacedName{Namespace: "a", Name: "agent"}, 1)
	s.record.urgent = true
	r.flush(run, s, time.Now())
	at, next := stateOf(run), rollout.State{Phase: v1alpha1.PhaseRolledBack, Cause: rollout.CauseAborted}
	s.record.log(evidence.Entry{Turn: &evidence.Turn{At: at, Next: next, Evidence: rollout.Evidence{Restored: true}, Message: "it is over"}}, time.Now())
	run.Status.Phase, run.Status.Message, run.Status.Result = next.Phase, "it is over", next.Result()
	if err := r.Write.UpdateStatus(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(s.ctx, func() { close(ended) })
	for range 3 { // the first may meet a conflict
		digest, head, err := r.lastEvidence(t.Context(), run)
		if err == nil {
			err = r.setTidied(t.Context(), run, digest, head)
		}
		if err == nil {
			break
		}
		t.Log(err)
		if err := r.Live.Get(t.Context(), client.ObjectKeyFromObject(run), run); err != nil {
			t.Fatal(err)
		}
	}
	chunks, _, err := readChunks(t.Context(), r.Live, run)
	if err != nil {
		t.Fatal(err)
	}
	book, err := report.Weigh(chunks)
	if err != nil || book.State != next || len(book.Gaps) != 1 || book.Lost != 1 {
		t.Errorf("%d chunks, %v: the run ends in %+v with %d gaps and %d lost lines; want %+v, 1 and 1", len(chunks), err, book.State, len(book.Gaps), book.Lost, next)
	}
}

// A gap in the numbers of an agent's lines, as a lost line and a rotated log leave, and
// an agent that was started again are lost coverage: the soak starts anew.
func TestLostLinesStartTheSoakAnew(t *testing.T) {
	for name, second := range map[string]probes.Line{
		"the next line":           {Seq: 2, Boot: "one"},
		"a line is missing":       {Seq: 3, Boot: "one"},
		"a log was rotated":       {Seq: 900, Boot: "one"},
		"the agent started again": {Seq: 1, Boot: "two"},
	} {
		s := newSession(t.Context(), func() {})
		s.plan = aPlan()
		agent := types.NamespacedName{Namespace: "a", Name: "agent"}
		s.pods.Listen(mute{}, 0, []pods.Spec{{Name: agent}})
		digest := ""
		for a := range s.pods.Agents() {
			digest = a.Digest()
		}
		now := time.Now()
		first := probes.Line{Agent: agent.String(), Boot: "one", Seq: 1, Digest: digest, From: now, To: now.Add(time.Second)}
		s.pods.Hear(agent, first, now)
		s.lose(now)
		s.soaking.held = time.Hour
		second.Agent, second.Digest, second.From, second.To = first.Agent, digest, now.Add(time.Second), now.Add(2*time.Second)
		s.pods.Hear(agent, second, now.Add(2*time.Second))
		s.lose(now)
		if anew, want := s.soaking.held == 0, name != "the next line"; anew != want {
			t.Errorf("%s: the soak starts anew: %v, want %v", name, anew, want)
		}
		s.close()
	}
}

// A pod behind a Service comes and goes, so an agent has the plan of before again: lines
// that are missing then are not taken for those that were missing at the first time.
func TestLostLinesOfAPlanOfBeforeStartTheSoakAnew(t *testing.T) {
	agent, now := types.NamespacedName{Namespace: "a", Name: "agent"}, time.Now()
	for name, lost := range map[string]uint64{"none": 0, "as many as before": 2, "fewer": 1} {
		s := newSession(t.Context(), func() {})
		s.plan = aPlan()
		listen := func(interval time.Duration) (digest string) {
			s.pods.Listen(mute{}, 0, []pods.Spec{{Name: agent, Plan: &probes.Plan{Interval: interval}}})
			for a := range s.pods.Agents() {
				digest = a.Digest()
			}
			s.soaking.held = time.Hour
			s.lose(now)
			return digest
		}
		hear := func(boot, digest string, seq uint64) {
			now = now.Add(time.Second)
			s.pods.Hear(agent, probes.Line{Agent: agent.String(), Boot: boot, Seq: seq, Digest: digest, From: now.Add(-time.Second), To: now}, now)
			s.lose(now)
		}
		before := listen(time.Second)
		hear("one", before, 1)
		hear("one", before, 4)
		if s.record.lines[agent] != 2 || s.soaking.held != 0 {
			t.Fatalf("%d lines are missing and the soak is at %v, want 2 and 0", s.record.lines[agent], s.soaking.held)
		}
		listen(2 * time.Second)
		if again := listen(time.Second); again != before {
			t.Fatalf("digest %s, before %s", again, before)
		}
		hear("one", before, 5)
		if s.soaking.held == 0 {
			t.Errorf("%s: a plan of before alone starts the soak anew", name)
		}
		hear("one", before, 6+lost)
		if got := s.record.lines[agent]; got != 2+lost || (s.soaking.held == 0) != (lost > 0) {
			t.Errorf("%s: %d lines are missing in all and the soak is at %v", name, got, s.soaking.held)
		}
		s.close()
	}
}
