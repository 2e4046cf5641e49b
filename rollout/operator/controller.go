package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// finalizer keeps a run until its change is taken back or committed.
	finalizer = "tightrope.dev/rollback"
)

// RunReconciler drives PolicyRolloutRuns.
type RunReconciler struct {
	client.Reader                // from the cache; ConfigMaps are read from the API server
	Live          client.Reader  // from the API server
	Write         *writer.Writer // as ourselves
	Restoring     writer.Link    // as ourselves, for what takes a change back; zero: Live and Write
	Deciding      writer.Link    // likewise, for runs and what is decided of them
	Logs          pods.LogReader // likewise
	As            func(account types.NamespacedName) (*writer.Writer, pods.LogReader, error)
	SingleTenant  bool       // a rollout may name no account: then everything is written as ourselves
	Drops         DropReader // nil: the data plane cannot tell
	Others        *OtherKinds
	Events        events.EventRecorder
	Pods          pods.Options
	ClusterDomain string // of DNS; empty: not known

	unsent rehearser // of a run that is only foreseen; nil: the writers rehearse

	base   context.Context // of the sessions; ends with the manager
	wake   chan event.GenericEvent
	mirror *mirror // nil: the cluster is read through Reader for each pass

	planning turnstile
	proving  provers

	mu       sync.Mutex
	sessions map[types.NamespacedName]*session
}

// runsAtOnce is how many runs are looked at side by side. Most of a pass that takes long
// is waiting for the API server, and a run that has to go back waits for no other.
const runsAtOnce = 64

// mostAsked is how many runs may ask for a pass before one is looked at; more of them
// wait for the next glance.
const mostAsked = 4096

// SetupWithManager registers the reconciler. ctx ends its sessions.
func (r *RunReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) (err error) {
	r.base = ctx
	r.wake = make(chan event.GenericEvent, mostAsked)
	r.sessions = map[types.NamespacedName]*session{}
	if r.mirror, err = newMirror(ctx, mgr.GetCache()); err != nil {
		return err
	}
	feed := func(ctx context.Context) error { return r.Others.feed(ctx, r.mirror) }
	if err := mgr.Add(manager.RunnableFunc(feed)); err != nil {
		return fmt.Errorf("watch policies of other kinds: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PolicyRolloutRun{}).
		Watches(&v1alpha1.RolloutApproval{}, handler.EnqueueRequestsFromMapFunc(r.newsTo(runOf))).
		WatchesRawSource(source.Channel(r.wake, &handler.EnqueueRequestForObject{}, source.WithBufferSize[client.Object, reconcile.Request](mostAsked))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: runsAtOnce,
			RateLimiter:             retrySoon(),
		}).
		Complete(r)
}

// newsTo makes what a watch shows of a run news to it.
func (r *RunReconciler) newsTo(of handler.MapFunc) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		asks := of(ctx, o)
		for _, ask := range asks {
			if s := r.known(ask.NamespacedName); s != nil {
				s.news.Store(true)
			}
		}
		return asks
	}
}

// retrySoon makes a pass that failed again soon: a rollback must not wait for a
// long back-off.
func retrySoon() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](tick/10, time.Second)
}

// Reconcile makes one pass over a run: gather, decide, record, act. It may be
// interrupted anywhere and run again. The decision is written down before it is
// acted upon, so a rollback once decided is never forgotten. A run that rests is only
// glanced at.
func (r *RunReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	known := r.known(req.NamespacedName)
	run, err := r.read(ctx, req.NamespacedName, known)
	if apierrors.IsNotFound(err) {
		r.drop(req.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("run %s: %w", req.NamespacedName, err)
	}
	if now := time.Now(); known != nil && known.rests(run, now) {
		known.glance(now)
		return ctrl.Result{RequeueAfter: min(known.due.Sub(now), glanceEvery)}, nil
	}
	if known != nil {
		known.begin()
	}
	if run.Status.Phase.Terminal() {
		known = nil // what is left of it may be anywhere
	}
	w, err := r.lookFor(ctx, known)
	if err != nil {
		return ctrl.Result{}, err
	}
	if run.Status.Phase.Terminal() {
		return r.finish(ctx, run, w)
	}
	if controllerutil.AddFinalizer(run, finalizer) {
		return ctrl.Result{}, r.Write.Update(ctx, run)
	}
	s, err := r.session(ctx, run)
	if err != nil {
		return ctrl.Result{}, err
	}
	s.saw(run)
	defer func() { s.saw(run) }()
	if s.lost != nil {
		return r.passWithoutPlan(ctx, run, s, w)
	}
	rest, err := r.pass(ctx, run, s, w)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.follow(req.NamespacedName, s)
	s.restFor(rest)
	return ctrl.Result{RequeueAfter: min(rest, glanceEvery)}, nil
}

// look is the cluster as the caches show it.
func (r *RunReconciler) look(ctx context.Context) (*world, error) {
	if r.mirror == nil {
		return readWorld(ctx, r.Reader)
	}
	return r.mirror.look()
}

// lookFor is the cluster as the caches show it, as far as the plan of a run speaks of it;
// all of it for one that has no plan, or no session.
func (r *RunReconciler) lookFor(ctx context.Context, s *session) (w *world, err error) {
	if r.mirror == nil || s == nil || s.plan == nil {
		return r.look(ctx)
	}
	s.sees, err = r.mirror.lookNear(s.plan.Run, s.plan.judgedBy(), s.sees)
	return s.sees, err
}

// follow makes what happens in the namespaces that a run's plan speaks of wake it.
func (r *RunReconciler) follow(key types.NamespacedName, s *session) {
	if r.mirror == nil || s.plan == nil {
		return
	}
	if namespaces := s.plan.judgedBy(); !slices.Equal(namespaces, s.follows) {
		s.follows = namespaces
		r.mirror.follow(key, namespaces, s.wake)
	}
}

// pass is one turn of the loop for a run that is not over. What hinders the
// checks before the first change hinders no decision: an abort, a deletion and a
// deadline end a run that cannot even make its pods.
func (r *RunReconciler) pass(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) (rest time.Duration, err error) {
	at := stateOf(run)
	unknown := s.seeEvidence(run)
	if unknown != nil && s.owes(at) == nil { // a rollback that is owed rests on what was seen, and not on the chain
		r.drop(client.ObjectKeyFromObject(run)) // what is known of the chain is read anew
		return 0, unknown
	}
	if unknown == nil {
		r.catchUp(ctx, run, s)
	}
	s.acceptCuts = run.Spec.AcceptCuts
	s.caughtUp(w)
	s.hold(isPaused(run, at), time.Now())
	var hindered error
	if at.Phase == v1alpha1.PhasePreflight {
		hindered = r.advancePreflight(ctx, run, s, w)
	}
	t, undecided := r.turn(ctx, run, s, w, at)
	next := t.next
	if next != at {
		recorded, err := r.turnTo(ctx, run, s, w, t)
		if err != nil {
			return 0, err
		}
		if !recorded {
			next = at
		}
	} else if err := r.showAside(ctx, run, s, t); err != nil {
		return 0, err
	}
	hindered = errors.Join(hindered, undecided)
	s.saw(run)
	if s.plan == nil {
		return s.pace(at, next, t.evidence), hindered
	}
	if err := r.act(ctx, s, w, next); err != nil {
		s.hindrance = err.Error()
		return 0, err
	}
	if err := r.showContested(ctx, run, s); err != nil {
		return 0, err
	}
	switch {
	case undecided != nil:
		s.hindrance = undecided.Error()
	case next.Phase != v1alpha1.PhasePreflight && s.listing == nil:
		s.hindrance = "" // of preflight it says what preflight could not do, and what waits for a list may fail as before
	}
	if !t.waits && unknown == nil { // what was decided is written down, perhaps, and holds
		r.flush(run, s, time.Now())
	}
	return s.pace(at, next, t.evidence), hindered
}

// turn gathers what the probes show and decides on it. A decision that is owed rests on
// what was gathered then, and nothing is gathered in between.
func (r *RunReconciler) turn(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world, at rollout.State) (turn, error) {
	if t := s.owes(at); t != nil {
		return *t, nil
	}
	e, cells, p := s.gather(w, at)
	e.Unproved = max(e.Unproved, since(s.unsure, time.Now()))
	if p != nil {
		s.record.tally(p, s.coveredAs(at), s.stepName(at))
	}
	if at.Phase == v1alpha1.PhaseRollingBack {
		e.Restored = s.plan == nil || s.restore == restoreDone || !everLive(run)
		if p != nil {
			s.record.recovered(p)
		}
	}
	e.Finalised = at.Phase == v1alpha1.PhaseCommitting && s.place.kind == commit && e.Settled
	t := turn{at: at, evidence: e, cells: cells, picture: p}
	unread := r.decide(ctx, run, s, &t)
	waits, unlisted := r.waitToCommit(s, w, &t)
	t.waits = waits
	return t, errors.Join(unread, unlisted)
}

// coveredAs is what the coverage of a live step is counted under; empty: none.
// Stages are told apart by their place: people may call one "commit".
func (s *session) coveredAs(at rollout.State) string {
	switch here := placeOf(at); here.kind {
	case stage, commit:
		return here.String()
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
	if done, err := r.tidy(ctx, run, w); err != nil || !done {
		return ctrl.Result{RequeueAfter: tick}, err
	}
	key := client.ObjectKeyFromObject(run)
	digest, head, err := r.lastEvidence(ctx, run)
	if err != nil && run.DeletionTimestamp == nil && !unpublishable(err) {
		return ctrl.Result{}, err
	}
	if err := r.setTidied(ctx, run, digest, head); err != nil {
		return ctrl.Result{}, err
	}
	if run.DeletionTimestamp != nil {
		r.drop(key)
		if err := r.forget(ctx, keyOf(run)); err != nil {
			return ctrl.Result{}, err
		}
		if controllerutil.RemoveFinalizer(run, finalizer) {
			return ctrl.Result{}, r.Write.Update(ctx, run)
		}
	}
	if err != nil { // who made the name free, or the quota larger, waits for no restart
		r.unpublished(run, err)
		return ctrl.Result{RequeueAfter: publishAgain}, nil
	}
	r.drop(key)
	return ctrl.Result{}, nil
}

// known is the session of a run; nil: there is none yet.
func (r *RunReconciler) known(key types.NamespacedName) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[key]
}

// session returns what is remembered of the run; after a restart that is what
// was written down: the armed plan and the report so far.
func (r *RunReconciler) session(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*session, error) {
	key := client.ObjectKeyFromObject(run)
	if s := r.known(key); s != nil {
		return s, nil
	}
	// Whoever has news shares this object with no pass: a pass changes the run that it read.
	named := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: run.Namespace, Name: run.Name}}
	s := newSession(r.base, func() {
		select {
		case r.wake <- event.GenericEvent{Object: named}:
		default: // the next glance sees it
		}
	})
	s.of = key
	if armed := armedWith(run); armed != "" {
		plan, err := loadPlan(ctx, r.Live, run.Name, armed)
		if errors.Is(err, errPlanLost) {
			s.lost, err = err, nil // a rollback must not fail on it
		}
		if err != nil {
			s.close()
			return nil, err
		}
		s.setPlan(plan)
	}
	if err := s.record.load(ctx, r.Live, run); err != nil {
		s.close()
		return nil, err
	}
	if s.plan != nil {
		s.record.begin(s.plan, time.Now())
		s.setPace()
		s.resumed = true
	}
	s.record.catchUp(run)
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
	if s == nil {
		return nil
	}
	if r.mirror != nil {
		r.mirror.follow(key, nil, nil)
	}
	s.close()
	return s
}
