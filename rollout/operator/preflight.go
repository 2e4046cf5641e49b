package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
)

var defaultLimits = planner.Limits

// planRun makes the plan of a run from the rollout, its suites and the cluster.
// A *refusal says what a person has to change; any other error is worth a retry.
func (r *RunReconciler) planRun(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (*Plan, error) {
	var ro v1alpha1.PolicyRollout
	key := types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.RolloutRef.Name}
	if err := r.Live.Get(ctx, key, &ro); err != nil {
		return nil, fmt.Errorf("rollout %s: %w", key, err)
	}
	no := &refusal{}
	if ro.UID != run.Spec.RolloutRef.UID || ro.Generation != run.Spec.Generation {
		no.add("rollout %s was edited or replaced before its run %s had planned: the run tries generation %d (UID %s), the rollout is at %d (UID %s); look at the rollout's newer run",
			key, run.Name, run.Spec.Generation, run.Spec.RolloutRef.UID, ro.Generation, ro.UID)
		return nil, no
	}
	decided, wrong := planner.Begin(&ro)
	p := &Plan{Plan: decided}
	p.Run, p.RunUID, p.PodEnding, p.ClusterDomain = run.Name, run.UID, plan.PodEnding, r.ClusterDomain
	no.reasons = append(no.reasons, wrong...)
	suites, err := r.readSuites(ctx, &ro, p, no)
	if err != nil {
		return nil, err
	}
	candidates, err := r.readCandidates(ctx, &ro, p, no)
	if err != nil {
		return nil, err
	}
	paths := 0
	for i := range suites {
		no.reasons = append(no.reasons, planner.Reserved(suites[i].Name, suites[i].Spec.Identities)...)
		paths += len(suites[i].Spec.Paths)
	}
	if why := planner.TooManyPaths(paths); why != "" {
		no.add("%s", why)
		return nil, no // and compares them not with each other
	}
	writes := writesOf(candidates, ro.Spec.Policies.Remove)
	if may, err := r.authorise(ctx, p, run, writes, suites, w, no); err != nil {
		return nil, err
	} else if !may || len(no.reasons) > 0 && ro.Spec.ServiceAccountName != "" {
		return nil, no // and not a word of what is in the cluster
	}
	for i := range suites {
		p.addSuite(&suites[i], w, no)
	}
	for _, why := range p.down {
		no.add("%s", why)
	}
	p.settleExceptions(&ro.Spec, no)
	no.reasons = append(no.reasons, rollout.UnknownFirst(ro.Spec.Waves, writes.namespaces())...)
	// Claims come first: what another run has there now is no baseline.
	if err := r.claim(ctx, writes.namespaces(), run, no); err != nil {
		return nil, err
	}
	if err := r.leftovers(ctx, writes.namespaces(), run, w, no); err != nil {
		return nil, err
	}
	if len(no.reasons) > 0 {
		return nil, no
	}
	if err := r.rehearse(ctx, p, candidates, &ro.Spec, w, no); err != nil {
		return nil, err
	}
	if err := r.refuseOtherKinds(ctx, p, w, no); err != nil {
		return nil, err
	}
	if len(no.reasons) > 0 {
		return nil, no
	}
	if err := r.foretell(ctx, p, run, &ro.Spec, w, no); err != nil {
		return p, err
	}
	if len(no.reasons) > 0 {
		return nil, no
	}
	return p, nil
}

// foretell fills in what follows from the plan in this cluster: what would be cut or leak,
// the waves, who must be a witness, and what cannot be tried. It goes through all pods.
func (r *RunReconciler) foretell(ctx context.Context, p *Plan, run *v1alpha1.PolicyRolloutRun, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	leave, err := r.proving.enter(ctx)
	if err != nil {
		return fmt.Errorf("wait for the proofs of other runs: %w", err)
	}
	defer leave()
	p.predict(w, p.prospect(w), spec, no)
	if err := r.settleWave(ctx, p, run, spec, w, no); err != nil {
		return err
	}
	to := p.prospect(w)
	p.Unprobeable = slices.Concat(p.Unprobeable, p.unmarked(w), p.untriedBackends(w), p.untested(w), p.strays(w))
	p.settleWitnesses(w, to, no)
	p.limitLoad(w, no)
	return nil
}

// readSuites reads the suites of a rollout, which become sources of the plan.
func (r *RunReconciler) readSuites(ctx context.Context, ro *v1alpha1.PolicyRollout, p *Plan, no *refusal) ([]v1alpha1.ConnectivitySuite, error) {
	var out []v1alpha1.ConnectivitySuite
	for _, ref := range ro.Spec.Suites {
		var suite v1alpha1.ConnectivitySuite
		key := types.NamespacedName{Namespace: ro.Namespace, Name: ref.Name}
		err := r.Live.Get(ctx, key, &suite)
		if apierrors.IsNotFound(err) {
			no.add("suite %s does not exist: create it in the rollout's namespace", key)
			continue
		} else if err != nil {
			return nil, fmt.Errorf("suite %s: %w", key, err)
		}
		source := v1alpha1.SuiteSource(&suite)
		p.Sources = append(p.Sources, source)
		if r.pinned(ro, source, ref.Digest, no) {
			out = append(out, suite)
		}
	}
	return out, nil
}

// addSuite collects identities and paths and checks that they lead somewhere.
func (p *Plan) addSuite(suite *v1alpha1.ConnectivitySuite, w *world, no *refusal) {
	for _, id := range suite.Spec.Identities {
		if !planner.AddIdentity(&p.Plan, id) {
			no.add("suite %s: identity %q is already in another suite: rename it", suite.Name, id.Name)
			continue
		}
		if _, ok := w.verdict.Namespaces[id.Namespace]; !ok {
			no.add("suite %s: identity %q lives in namespace %q, which does not exist", suite.Name, id.Name, id.Namespace)
		}
		if len(p.AgentName(id.Name, true)) > 200 {
			no.add("suite %s: identity %q and run %q make too long a name", suite.Name, id.Name, p.Run)
		}
	}
	for _, path := range suite.Spec.Paths {
		p.addPath(suite, path, w, no)
	}
}

func (p *Plan) addPath(suite *v1alpha1.ConnectivitySuite, path v1alpha1.Path, w *world, no *refusal) {
	where := fmt.Sprintf("suite %s: path %q", suite.Name, path.Name)
	if planner.HasPath(&p.Plan, path.Name) {
		no.add("%s: another path has the same name, and exceptions and reports tell paths apart by it: rename one of them", where)
		return
	}
	if _, ok := p.Identity(path.From); !ok {
		no.add("%s is from identity %q, which no suite declares: add it to spec.identities", where, path.From)
	}
	t := path.To.Service
	svc := w.services[types.NamespacedName{Namespace: t.Namespace, Name: t.Name}]
	if svc == nil {
		no.add("%s leads to Service %s/%s, which does not exist", where, t.Namespace, t.Name)
	} else if _, ok := servicePort(svc, t); !ok {
		no.add("%s leads to port %d/%s of Service %s/%s, which has no such port (name the Service's port, not the container's)", where, t.Port, plan.Path{Path: path}.Protocol(), t.Namespace, t.Name)
	} else if !anyReady(w.backends(t)) {
		p.down = append(p.down, fmt.Sprintf("%s leads to Service %s/%s, which has no ready pod behind it: nothing could be proved", where, t.Namespace, t.Name))
	}
	planned := planner.PathOf(path)
	p.settleWays(&planned, w, where, no)
	p.Paths = append(p.Paths, planned)
}

// denied reports whether the API server said no, rather than could not answer:
// only a denial counts against a rehearsal.
func denied(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsNotFound(err) || errors.As(err, new(*refusal))
}

// readCandidates reads the policies, inline or from a ConfigMap, which becomes a source
// of the plan.
func (r *RunReconciler) readCandidates(ctx context.Context, ro *v1alpha1.PolicyRollout, p *Plan, no *refusal) ([]*networkingv1.NetworkPolicy, error) {
	var out []*networkingv1.NetworkPolicy
	for _, c := range ro.Spec.Policies.Inline {
		out = append(out, c.Manifest())
	}
	if ref := ro.Spec.Policies.ConfigMapRef; ref != nil {
		var cm corev1.ConfigMap
		key := types.NamespacedName{Namespace: ro.Namespace, Name: ref.Name}
		err := r.Live.Get(ctx, key, &cm)
		if apierrors.IsNotFound(err) {
			no.add("ConfigMap %s with the policies does not exist", key)
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("policies of rollout %s: %w", ro.Name, err)
		}
		source := v1alpha1.ConfigMapSource(&cm)
		p.Sources = append(p.Sources, source)
		if !r.pinned(ro, source, ref.Digest, no) {
			return nil, nil // and not a word of what is in it
		}
		out = policiesFrom(&cm, no)
	}
	no.reasons = append(no.reasons, planner.Misplaced(&ro.Spec, out)...)
	for _, c := range out {
		no.reasons = append(no.reasons, rollout.Unkept(c, &ro.Spec)...)
	}
	return out, nil
}
