package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/report"
)

// ErrInterrupted says that the caller stopped the run and that it was taken back.
var ErrInterrupted = errors.New("interrupted")

// ErrNotBack is wrapped when a run was told to end and nobody saw that it did:
// whether the baseline is back is not known.
var ErrNotBack = errors.New("the rollback was not seen to end")

// Options say where and how a scenario runs.
type Options struct {
	Config  *rest.Config   // of the cluster
	Cluster string         // its name, for the report
	Deploy  deploy.Options // of the controller and its pods
	Standin string         // image of the stand-ins; empty: tightrope.dev/standin
	// AdoptNamespaces puts the scenario's objects into namespaces that it did not
	// create. Objects of others are not overwritten there either.
	AdoptNamespaces bool
	// HoldTimeout is how long a held run is waited for before it is aborted; 0 means 2m.
	HoldTimeout time.Duration
	// AbortTimeout is how long an aborted run may take to be back; 0 means 90s.
	AbortTimeout time.Duration
	// Progress hears of every change, in order, from one goroutine. It may be nil.
	Progress func(Progress)
}

func (o Options) withDefaults() Options {
	if o.HoldTimeout == 0 {
		o.HoldTimeout = 2 * time.Minute
	}
	if o.AbortTimeout == 0 {
		o.AbortTimeout = 90 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// Progress is what a person watching is told.
type Progress struct {
	Scenario string
	Step     string                           // install, topology, rollout; empty when Status is set
	Note     string                           // what is special about the step; mostly empty
	Status   *v1alpha1.PolicyRolloutRunStatus // the run's newest status
	Report   *report.Report                   // what is proved so far; nil until there is something
}

// Run brings up a scenario's topology, rolls its policies out, and returns what
// that proved. When ctx ends it aborts the rollout, waits until the baseline is
// back, and returns the report together with ErrInterrupted.
func Run(ctx context.Context, s *Scenario, o Options) (*report.Report, error) {
	o = o.withDefaults()
	c, err := newClient(o.Config)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, c, s, o); err != nil {
		return nil, err
	}
	o.Progress(Progress{Scenario: s.Metadata.Name, Step: "rollout"})
	ro, suite := s.Rollout(), s.Suite()
	s.mark(ro)
	s.mark(suite)
	run, err := start(ctx, c, ro, suite)
	if err != nil {
		return nil, err
	}
	w := &watcher{client: c, run: run, options: o, scenario: s.Metadata.Name}
	last, err := w.follow(ctx)
	if err != nil {
		return nil, err
	}
	rep, err := w.report(last)
	if err != nil {
		return nil, err
	}
	judge(rep, s, o.Cluster)
	if w.held && rep.Cause == "Aborted" {
		rep.Result = "Held"
	}
	if ctx.Err() != nil {
		return rep, ErrInterrupted
	}
	return rep, nil
}

// prepare installs Tightrope and the topology and waits until it is up. It writes
// nothing before it has seen that nothing of somebody else's is in the way.
func prepare(ctx context.Context, c client.Client, s *Scenario, o Options) error {
	if err := check(ctx, c, s, o); err != nil {
		return err
	}
	o.Progress(Progress{Scenario: s.Metadata.Name, Step: "install", Note: "(single-tenant: whoever creates a rollout acts with the controller's rights)"})
	if err := install.Ensure(ctx, o.Config, install.Options{Deploy: o.Deploy}); err != nil {
		return fmt.Errorf("install Tightrope: %w", err)
	}
	o.Progress(Progress{Scenario: s.Metadata.Name, Step: "topology"})
	objects, err := s.Manifests(o.Standin)
	if err != nil {
		return err
	}
	var namespaces []string
	for _, obj := range objects {
		s.mark(obj)
		if err := s.put(ctx, c, obj, o.AdoptNamespaces); err != nil {
			return err
		}
		if ns := obj.GetNamespace(); ns != "" && !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
		}
	}
	for _, ns := range namespaces {
		if err := available(ctx, c, ns, client.MatchingLabels{v1alpha1.LabelScenario: s.root}); err != nil {
			return err
		}
	}
	return nil
}

// watcher follows one run to its end.
type watcher struct {
	client   client.WithWatch
	run      types.NamespacedName
	options  Options
	scenario string
	held     bool
	told     string // the last change that was passed on
}

// follow returns the run once it is over and tidied up. When ctx ends, or a hold
// lasts too long, it asks for an abort and waits on.
func (w *watcher) follow(ctx context.Context) (*v1alpha1.PolicyRolloutRun, error) {
	run, err := w.watch(ctx)
	if run != nil || err != nil {
		return run, err
	}
	live, stop := context.WithTimeout(context.WithoutCancel(ctx), w.options.AbortTimeout)
	defer stop()
	if err := w.abort(live); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBack, err)
	}
	run, err = w.watch(live)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBack, err)
	}
	if run == nil {
		err = fmt.Errorf("%w: run %s was not back %v after the abort and goes on by itself: look at `kubectl -n %s get policyrolloutrun %s`",
			ErrNotBack, w.run, w.options.AbortTimeout, w.run.Namespace, w.run.Name)
	}
	return run, err
}

// watch returns the run once it is over, or nothing when it has to
// be aborted: ctx ended, or it was held for too long.
func (w *watcher) watch(ctx context.Context) (*v1alpha1.PolicyRolloutRun, error) {
	var heldSince time.Time
	lastSeen := time.Now()
	for ctx.Err() == nil {
		var run v1alpha1.PolicyRolloutRun
		switch err := w.client.Get(ctx, w.run, &run); {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil && (final(err) || time.Since(lastSeen) > lostWithin):
			return nil, fmt.Errorf("%w: run %s cannot be watched any more and goes on by itself: %w", ErrNotBack, w.run, err)
		case err == nil:
			lastSeen = time.Now()
		}
		w.tell(ctx, &run)
		if over(&run.Status) {
			if !run.GoesOn() {
				return &run, nil
			}
			w.nextWave(ctx, &run)
		}
		if run.Status.Phase != v1alpha1.PhaseHeld {
			heldSince = time.Time{}
		} else if w.held = true; heldSince.IsZero() {
			heldSince = time.Now()
		} else if time.Since(heldSince) > w.options.HoldTimeout {
			return nil, nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
		}
	}
	return nil, nil
}

// nextWave makes the watcher watch the run of the next wave, once there is one.
func (w *watcher) nextWave(ctx context.Context, run *v1alpha1.PolicyRolloutRun) {
	var runs v1alpha1.PolicyRolloutRunList
	if err := w.client.List(ctx, &runs, client.InNamespace(run.Namespace)); err != nil {
		return // asked for again
	}
	for _, next := range runs.Items {
		if next.Spec.RolloutRef.UID == run.Spec.RolloutRef.UID && next.Spec.After != nil && next.Spec.After.UID == run.UID {
			w.run = client.ObjectKeyFromObject(&next)
		}
	}
}

// lostWithin is how long the API server may be out of reach before a run is
// given up watching.
const lostWithin = time.Minute

// final reports whether asking again cannot help.
func final(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

func over(st *v1alpha1.PolicyRolloutRunStatus) bool {
	return st.Phase.Terminal() && meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionTidied)
}

// tell passes a change on.
func (w *watcher) tell(ctx context.Context, run *v1alpha1.PolicyRolloutRun) {
	st := &run.Status
	now := fmt.Sprintf("%s/%s/%s/%s", run.Name, st.Phase, st.Stage, st.Cause)
	if now == w.told || st.Phase == "" {
		return
	}
	w.told = now
	rep, _ := w.stored(ctx, run) // what cannot be read yet is not shown yet
	w.options.Progress(Progress{Scenario: w.scenario, Status: st, Report: rep})
}

func (w *watcher) abort(ctx context.Context) error {
	run := &v1alpha1.PolicyRolloutRun{}
	run.Namespace, run.Name = w.run.Namespace, w.run.Name
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"intent":"Abort"}}`))
	if err := w.client.Patch(ctx, run, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("abort run %s: %w; it goes on: abort it with `kubectl -n %s patch policyrolloutrun %s --type=merge -p '{\"spec\":{\"intent\":\"Abort\"}}'`", w.run, err, w.run.Namespace, w.run.Name)
	}
	return nil
}

// stored reads the report that the controller publishes.
func (w *watcher) stored(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*report.Report, error) {
	if run.Status.Evidence == nil {
		return nil, nil
	}
	var cm corev1.ConfigMap
	key := types.NamespacedName{Namespace: run.Namespace, Name: run.Status.Evidence.Report}
	if err := w.client.Get(ctx, key, &cm); err != nil {
		return nil, fmt.Errorf("report %s: %w", key, err)
	}
	return report.OfRun(run, &cm)
}

// report is the final report; a run that preflight refused has only its reason.
func (w *watcher) report(run *v1alpha1.PolicyRolloutRun) (*report.Report, error) {
	ctx, stop := context.WithTimeout(context.Background(), upWithin)
	defer stop()
	rep, err := w.stored(ctx, run)
	if err != nil {
		return nil, err
	}
	if rep == nil {
		rep = report.OfStatus(run)
	}
	rep.Result, rep.Cause = report.Result(run), run.Status.Cause
	return rep, nil
}

// judge compares a report with what the scenario expects.
func judge(rep *report.Report, s *Scenario, cluster string) {
	rep.Scenario, rep.Cluster = s.Metadata.Name, cluster
	expect := s.Spec.Expect
	if expect == nil {
		return
	}
	rep.Expected = expect.Result
	if want := expect.Stage; want != "" && !slices.ContainsFunc(rep.Cuts, func(c report.Cut) bool { return c.Phase == want }) {
		rep.Unmet = append(rep.Unmet, fmt.Sprintf("no cut was found in stage %s", want))
	}
	if len(expect.Cuts) > 0 && !slices.ContainsFunc(rep.Cuts, func(c report.Cut) bool { return slices.Contains(expect.Cuts, c.Path) }) {
		rep.Unmet = append(rep.Unmet, fmt.Sprintf("none of the paths %q was found cut", expect.Cuts))
	}
	if want := expect.Rule; want != "" && !slices.ContainsFunc(rep.Cuts, func(c report.Cut) bool { return strings.Contains(c.Rule, want) }) {
		rep.Unmet = append(rep.Unmet, fmt.Sprintf("no cut names the rule %q", want))
	}
}
