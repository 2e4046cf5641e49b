package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
)

// What the controller would refuse can be known before a rollout is applied: preflight
// is the same code, whoever runs it. Foresee runs it on a cluster as its caller may read it,
// with the rollout and what it is made of from elsewhere, and sends no write, not even
// as a rehearsal.

// Cluster is what planning reads of a cluster.
type Cluster struct {
	Namespaces []corev1.Namespace
	Policies   []networkingv1.NetworkPolicy
	Pods       []corev1.Pod
	Services   []corev1.Service
	Slices     []discoveryv1.EndpointSlice
}

// Made is a rollout and what it is made of, as it would be applied.
type Made struct {
	Rollout    *v1alpha1.PolicyRollout
	Suites     []v1alpha1.ConnectivitySuite
	ConfigMaps []corev1.ConfigMap
}

// Foreseen is what preflight would say.
type Foreseen struct {
	// Refused are the reasons to refuse the rollout, apart from cuts, in the controller's
	// words; empty: there are none among what could be looked at.
	Refused []string
	// Repairs say what to write, or to run, for some of them.
	Repairs []string
	Cuts    []ForeseenCut
	// Unseen is what could not be looked at, and that preflight does look at.
	Unseen []string
}

// ForeseenCut is a path that would be cut and that no exception accepts.
type ForeseenCut struct {
	Path, Rule string
	Add        string // what to add to the candidates so that it is none

	reason, repair string // as a refusal has them
}

// never are what only a run can find out.
var never = []string{
	"what the API server, its webhooks and quotas say to the writes of the rollout and of its rollback: preflight has it check them",
	"what the account of the rollout and the controller may do in the namespaces concerned: preflight asks for every right",
	"whether the cluster enforces policies, and whether probe pods can be made: preflight tries both on pods of its own",
}

// Foresee says what preflight would make of a rollout on a cluster. singleTenant is the
// kind of its installation.
func Foresee(ctx context.Context, cfg *rest.Config, c Cluster, made Made, singleTenant bool) (Foreseen, error) {
	via, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return Foreseen{}, fmt.Errorf("client: %w", err)
	}
	defer via.CloseIdleConnections()
	api, err := foreseeing(cfg, via)
	if err != nil {
		return Foreseen{}, err
	}
	others, err := newOtherKinds(cfg, via)
	if err != nil {
		return Foreseen{}, err
	}
	return foresee(ctx, api, others, c, made, singleTenant)
}

func foreseeing(cfg *rest.Config, via *http.Client) (client.Reader, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	api, err := client.New(cfg, client.Options{HTTPClient: via, Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return api, nil
}

func foresee(ctx context.Context, api client.Reader, others *OtherKinds, c Cluster, made Made, singleTenant bool) (Foreseen, error) {
	made = made.pinned()
	seen := &applied{Reader: api, made: made}
	no := &refusal{}
	if ro := made.Rollout; planner.LongName(ro.Name) != "" {
		no.add("%s", planner.LongName(ro.Name))
	} else {
		r := &RunReconciler{Reader: seen, Live: seen, Others: others, SingleTenant: singleTenant, unsent: unsent{}}
		no = r.foresee(ctx, runFor(ro), worldOf(c))
	}
	out := Foreseen{Repairs: no.repairs, Unseen: slices.Concat(seen.missed, no.unseen, never)}
	for _, reason := range no.reasons {
		if !slices.ContainsFunc(no.cuts, func(c ForeseenCut) bool { return c.reason == reason }) {
			out.Refused = append(out.Refused, reason)
		}
	}
	if len(no.reasons) > 0 {
		out.Unseen = append([]string{"what comes after what is refused: preflight stops there, too; plan again once that is put right"}, out.Unseen...)
	}
	for _, c := range no.cuts {
		out.Repairs = slices.DeleteFunc(out.Repairs, func(text string) bool { return text == c.repair })
		out.Cuts = append(out.Cuts, c)
	}
	return out, ctx.Err()
}

// foresee is preflight as far as nothing has to be written for it. What it cannot do for
// now the controller cannot either, and tries again.
func (r *RunReconciler) foresee(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) *refusal {
	no := &refusal{}
	p, err := r.planRun(ctx, run, w)
	if err == nil {
		no.unseen = p.unseen
		if n := len(p.Waves); n > 1 {
			no.unseen = append(no.unseen, fmt.Sprintf("waves 2 to %d: each is planned on what the one before has committed", n))
		}
		var text string
		if text, err = plan.Encode(p); err == nil {
			no.addLarge(text)
			err = errors.Join(r.claimsAreFree(ctx, p, no), r.gatesCanOpen(ctx, p.Steps, no))
		}
	}
	var found *refusal
	switch {
	case errors.As(err, &found):
		return found
	case err != nil && !errors.Is(err, errInPlace):
		no.unseen = append(no.unseen, fmt.Sprintf("what comes after this, which the controller would try again until it is over: %v", err))
	}
	return no
}

// claimsAreFree refuses a plan for namespaces where something has the name of a claim. Runs
// that have claimed one are known by their plans.
func (r *RunReconciler) claimsAreFree(ctx context.Context, p *Plan, no *refusal) error {
	for _, ns := range p.Namespaces() {
		var claim corev1.ConfigMap
		err := r.Live.Get(ctx, client.ObjectKey{Namespace: ns, Name: plan.ClaimName}, &claim)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("claim of namespace %s: %w", ns, err)
		}
		if err == nil {
			no.addSquatter(&claim)
		}
	}
	return nil
}

// runFor is the run that a rollout would have, younger than all that there are.
func runFor(ro *v1alpha1.PolicyRollout) *v1alpha1.PolicyRolloutRun {
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ro.Namespace, Name: RunName(ro.Name, ro.UID, ro.Generation, firstAttempt), CreationTimestamp: metav1.Now()}}
	run.Spec.RolloutRef, run.Spec.Generation, run.Spec.Wave = v1alpha1.RolloutRef{Name: ro.Name, UID: ro.UID}, ro.Generation, firstWave
	return run
}

// pinned is a copy in which the rollout states the digests that it leaves out, as
// tightrope rollout apply does.
func (m Made) pinned() Made {
	m.Rollout = m.Rollout.DeepCopy()
	policies := &m.Rollout.Spec.Policies
	for i := range m.Suites {
		for j := range m.Rollout.Spec.Suites {
			if ref := &m.Rollout.Spec.Suites[j]; ref.Name == m.Suites[i].Name && ref.Digest == "" {
				ref.Digest = v1alpha1.SuiteSource(&m.Suites[i]).Digest
			}
		}
	}
	for i := range m.ConfigMaps {
		if ref := policies.ConfigMapRef; ref != nil && ref.Name == m.ConfigMaps[i].Name && ref.Digest == "" {
			ref.Digest = v1alpha1.ConfigMapSource(&m.ConfigMaps[i]).Digest
		}
	}
	return m
}

// applied reads a cluster as it would be once a rollout is applied. What its reader may
// not read is as if it were not there, and is told.
type applied struct {
	client.Reader
	made   Made
	missed []string
}

// Get implements client.Reader.
func (a *applied) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	switch o := o.(type) {
	case *v1alpha1.PolicyRollout:
		a.made.Rollout.DeepCopyInto(o)
		return nil
	case *v1alpha1.ConnectivitySuite:
		for i := range a.made.Suites {
			if client.ObjectKeyFromObject(&a.made.Suites[i]) == key {
				a.made.Suites[i].DeepCopyInto(o)
				return nil
			}
		}
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("connectivitysuites").GroupResource(), key.Name)
	case *corev1.ConfigMap:
		for i := range a.made.ConfigMaps {
			if client.ObjectKeyFromObject(&a.made.ConfigMaps[i]) == key {
				a.made.ConfigMaps[i].DeepCopyInto(o)
				return nil
			}
		}
	}
	err := a.Reader.Get(ctx, key, o, opts...)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: %w", errUnseen, err)
	}
	return err
}

// List implements client.Reader.
func (a *applied) List(ctx context.Context, l client.ObjectList, opts ...client.ListOption) error {
	switch err := a.Reader.List(ctx, l, opts...); {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err): // Tightrope is not installed: there are none
		return nil
	case apierrors.IsForbidden(err):
		a.missed = append(a.missed, fmt.Sprintf("whether another run is in the way, or left something: %v", err))
		return nil
	default:
		return err
	}
}

// errUnseen says that whoever foresees a run may not read something.
var errUnseen = errors.New("not looked at")

// unsent rehearses nothing: every write would be stored as it is, with what the API server
// fills in, and everybody may do everything.
type unsent struct{}

// Rehearse implements rehearser.
func (unsent) Rehearse(_ context.Context, o client.Object) error {
	if np, ok := o.(*networkingv1.NetworkPolicy); ok {
		np.Spec = verdict.Defaulted(np.Spec)
	}
	return nil
}

// RehearseUpdate implements rehearser.
func (unsent) RehearseUpdate(context.Context, client.Object) error { return nil }

// May implements rehearser.
func (unsent) May(context.Context, authorizationv1.ResourceAttributes) (bool, error) {
	return true, nil
}
