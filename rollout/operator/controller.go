package operator

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

const (
	// tick is how often a run under way is looked at when nothing wakes it sooner.
	tick = 50 * time.Millisecond
	// saveEvery bounds what a killed operator forgets of a report.
	saveEvery = 3 * time.Second
	// finalizer keeps a run until its change is taken back or committed.
	finalizer = "tightrope.dev/rollback"
)

// RunReconciler drives PolicyRolloutRuns.
type RunReconciler struct {
	client.Client               // reads come from the cache
	Live          client.Reader // reads go to the API server
	Logs          LogReader
	Drops         DropReader // nil: the data plane cannot tell
	Others        *OtherKinds
	Events        events.EventRecorder
	AgentImage    string
	TwinImage     string
	ClusterDomain string // of DNS; empty: not known

	base context.Context // of the sessions; ends with the manager
	wake chan event.GenericEvent

	mu       sync.Mutex
	sessions map[types.NamespacedName]*session
}

// SetupWithManager registers the reconciler. ctx ends its sessions.
func (r *RunReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	r.base = ctx
	r.wake = make(chan event.GenericEvent, 1024)
	r.sessions = map[types.NamespacedName]*session{}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PolicyRolloutRun{}).
		WatchesRawSource(source.Channel(r.wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 16,
			RateLimiter:             retrySoon(),
		}).
		Complete(r)
}

// retrySoon makes a pass that failed again soon: a rollback must not wait for a
// long back-off.
func retrySoon() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](tick/10, time.Second)
}

// Reconcile makes one pass over a run: gather, decide, record, act. It may be
// interrupted anywhere and run again. The decision is written down before it is
// acted upon, so a rollback once decided is never forgotten.
func (r *RunReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var run v1alpha1.PolicyRolloutRun
	if err := r.Live.Get(ctx, req.NamespacedName, &run); apierrors.IsNotFound(err) {
		r.drop(req.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("run %s: %w", req.NamespacedName, err)
	}
	w, err := readWorld(ctx, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	if run.Status.Phase.Terminal() {
		return r.finish(ctx, &run, w)
	}
	if controllerutil.AddFinalizer(&run, finalizer) {
		return ctrl.Result{}, r.Update(ctx, &run)
	}
	s, err := r.session(ctx, &run)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: tick}, r.pass(ctx, &run, s, w)
}

// pass is one turn of the loop for a run that is not over.
func (r *RunReconciler) pass(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) error {
	at := stateOf(run)
	if at.Phase == v1alpha1.PhasePreflight {
		if err := r.advancePreflight(ctx, run, s, w); err != nil {
			return err
		}
	}
	e, cells, p := s.gather(w, at, phaseSince(run))
	if p != nil {
		s.record.tally(p, cells, liveStep(s, at))
	}
	if at.Phase == v1alpha1.PhaseRollingBack {
		e.Restored = s.plan == nil || s.restore == restoreDone || !everLive(run)
		if p != nil {
			s.record.recovered(p)
		}
	}
	e.Finalised = at.Phase == v1alpha1.PhaseCommitting && s.step == "commit" && e.Settled
	var steps []rollout.StepPlan
	limits := defaultLimits
	if s.plan != nil {
		steps, limits = s.plan.Steps, s.plan.Limits
	}
	next := rollout.Step(steps, limits, at, e, intent(run))
	if next != at {
		if err := r.advance(ctx, run, s, turn{at, next, e, cells, p}); err != nil {
			return err
		}
	}
	if s.plan == nil {
		return nil
	}
	if err := r.act(ctx, s, w, next); err != nil {
		return err
	}
	if time.Since(s.record.savedAt) > saveEvery {
		return s.record.save(ctx, r.Client, run)
	}
	return nil
}

// liveStep is the name a live step's coverage is counted under; empty: none.
func liveStep(s *session, at rollout.State) string {
	switch at.Phase {
	case v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		return s.plan.Steps[at.Step].Name
	case v1alpha1.PhaseCommitting:
		return "commit"
	}
	return ""
}

// intent is what a person wants of the run; deleting it is an abort.
func intent(run *v1alpha1.PolicyRolloutRun) v1alpha1.Intent {
	if run.DeletionTimestamp != nil {
		return v1alpha1.IntentAbort
	}
	return run.Spec.Intent
}

// finish tidies up after a run that is over, and says so in its conditions.
func (r *RunReconciler) finish(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (ctrl.Result, error) {
	nothing, err := r.shadowed(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !nothing {
		if done, err := r.tidy(ctx, run, w); err != nil || !done {
			return ctrl.Result{RequeueAfter: tick}, err
		}
	}
	key := client.ObjectKeyFromObject(run)
	if s := r.drop(key); s != nil && s.plan != nil {
		if err := s.record.save(ctx, r.Client, run); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.setTidied(ctx, run); err != nil {
		return ctrl.Result{}, err
	}
	if run.DeletionTimestamp != nil {
		if !nothing {
			if err := r.forget(ctx, run.Name); err != nil {
				return ctrl.Result{}, err
			}
		}
		if controllerutil.RemoveFinalizer(run, finalizer) {
			return ctrl.Result{}, r.Update(ctx, run)
		}
	}
	return ctrl.Result{}, nil
}

// session returns what is remembered of the run; after a restart that is what
// was written down: the armed plan and the report so far.
func (r *RunReconciler) session(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*session, error) {
	key := client.ObjectKeyFromObject(run)
	r.mu.Lock()
	s := r.sessions[key]
	r.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s = newSession(r.base, func() {
		select {
		case r.wake <- event.GenericEvent{Object: &v1alpha1.PolicyRolloutRun{ObjectMeta: run.ObjectMeta}}:
		default: // the next tick sees it
		}
	})
	if run.Status.PlanDigest != "" {
		plan, err := loadPlan(ctx, r.Live, run.Name, run.Status.PlanDigest)
		if err != nil {
			return nil, err
		}
		if err := s.record.load(ctx, r.Live, run.Name); err != nil {
			return nil, err
		}
		s.plan = plan
		s.record.begin(plan, time.Now())
	}
	r.mu.Lock()
	r.sessions[key] = s
	r.mu.Unlock()
	return s, nil
}

// drop forgets a session and waits for its followers.
func (r *RunReconciler) drop(key types.NamespacedName) *session {
	r.mu.Lock()
	s := r.sessions[key]
	delete(r.sessions, key)
	r.mu.Unlock()
	if s != nil {
		s.close()
	}
	return s
}

// note tells people, through an event, after the write succeeded.
func (r *RunReconciler) note(run *v1alpha1.PolicyRolloutRun, reason, action, message string) {
	kind := corev1.EventTypeNormal
	if reason == string(rollout.CauseCut) || reason == string(rollout.CauseLeak) {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(run, nil, kind, reason, action, "%s", message)
}
