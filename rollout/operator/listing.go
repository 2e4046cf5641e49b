package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
	"github.com/tightrope-dev/tightrope/verdict"
)

// A cache shows the cluster as it was a moment ago, or, where a watch hangs, much
// longer ago. So before a run tightens or commits, the API server itself is asked for
// the run and for the policies of the namespaces that it writes to, of every kind.
// What takes a change back asks for nothing first. See
// docs/adr/0044-what-tightens-asks-the-api-server.md.

const (
	// listedWithin is how old what the API server listed may be when a write rests on it.
	listedWithin = time.Second
	// listPatience bounds the lists of one kind.
	listPatience = 30 * time.Second
)

// listing is what the API server says of a run and its namespaces. It is made aside:
// while a slow API server answers, evidence must go on being judged.
type listing struct {
	of       *Plan         // whose namespaces were asked for
	done     chan struct{} // closed when the fields below are set
	at       time.Time
	run      string // resourceVersion
	policies []networkingv1.NetworkPolicy
	others   otherPolicies
	err      error
}

// list asks the API server, and calls then when it has answered.
func (r *RunReconciler) list(ctx context.Context, of types.NamespacedName, p *Plan, then func()) *listing {
	l := &listing{of: p, done: make(chan struct{})}
	namespaces, bridged := p.Namespaces(), p.bridged()
	go func() {
		defer then()
		defer close(l.done)
		if len(bridged) > 0 { // before the policies, which are not to grow old meanwhile
			if l.others, l.err = r.Others.list(ctx, bridged); l.err != nil {
				l.err = fmt.Errorf("policies of other kinds: %w", l.err)
			}
		}
		if l.err == nil {
			l.run, l.policies, l.err = r.listOwn(ctx, of, namespaces)
		}
		l.at = time.Now()
	}()
	return l
}

// listOwn reads a run and the NetworkPolicies of its namespaces.
func (r *RunReconciler) listOwn(ctx context.Context, of types.NamespacedName, namespaces []string) (string, []networkingv1.NetworkPolicy, error) {
	ctx, stop := context.WithTimeout(ctx, listPatience)
	defer stop()
	var run v1alpha1.PolicyRolloutRun
	if err := r.deciding().Read.Get(ctx, of, &run); err != nil {
		return "", nil, fmt.Errorf("run %s: %w", of, err)
	}
	var all []networkingv1.NetworkPolicy
	for _, ns := range namespaces {
		var policies networkingv1.NetworkPolicyList
		if err := r.deciding().Read.List(ctx, &policies, client.InNamespace(ns)); err != nil {
			return "", nil, fmt.Errorf("policies of namespace %s: %w", ns, err)
		}
		all = append(all, policies.Items...)
	}
	return run.ResourceVersion, all, nil
}

// over reports whether the API server has answered.
func (l *listing) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// mayTighten reports whether the cluster that a pass sees is the one that the API
// server has, so that a write which tightens may rest on it. It asks, and answers false
// until it knows. What others did that the cache does not show yet is left in the
// session, which takes the run back. Where it cannot be told, which is an error, nothing
// is written, and the deadline of the step decides.
func (r *RunReconciler) mayTighten(s *session, w *world, at rollout.State) (bool, error) {
	l := s.listing
	switch {
	case l == nil:
		s.listing = r.list(s.ctx, s.of, s.plan, s.wake)
		return false, nil
	case !l.over():
		return false, nil
	case l.of != s.plan: // the run has planned again meanwhile
		s.listing = nil
		return r.mayTighten(s, w, at)
	}
	old := time.Since(l.at) > listedWithin
	if err := cmp.Or(l.err, l.others.doubt()); err != nil || old {
		s.listing = nil
		if err == nil && !w.shows(s.plan.Namespaces(), l.policies) {
			err = fmt.Errorf("the cache is more than %v behind the API server", listedWithin)
		}
		if err != nil {
			return false, fmt.Errorf("step %s writes nothing before the cluster is known: %w", s.place.String(), err)
		}
		return r.mayTighten(s, w, at)
	}
	if newer(l.run, s.version) {
		s.version = l.run // the next pass reads that one
		return false, nil
	}
	shown, live := w.shows(s.plan.Namespaces(), l.policies), w.with(s.plan.Namespaces(), l)
	s.appeared, s.unshown = "", nil
	if !shown || s.plan.opening(live) != "" {
		s.appeared, s.unshown = s.foreseen(live, at), live.told(s.strangers(live))
	}
	return shown && s.appeared == "", nil
}

// tightens makes wished policies be there as wished, once the cluster is known to be as
// the pass sees it, and reports whether they were written.
func (r *RunReconciler) tightens(ctx context.Context, s *session, w *world, at rollout.State, write *writer.Writer, wishes []wish) (bool, error) {
	if may, err := r.mayTighten(s, w, at); err != nil || !may {
		return false, err
	}
	s.listing = nil // it was before this write
	if err := r.apply(ctx, write, wishes); err != nil {
		return true, err
	}
	s.hindrance = ""
	return true, nil
}

// foreseen is foreignChange in a world that the cache does not show yet, so nothing of
// it is remembered.
func (s *session) foreseen(live *world, at rollout.State) string {
	own, stages, tolerated := maps.Clone(s.own), maps.Clone(s.stages), maps.Clone(s.record.State.Tolerated)
	defer func() { s.own, s.stages, s.record.State.Tolerated = own, stages, tolerated }()
	return s.foreignChange(live, at)
}

// unseen is a policy that isolates pods and that the API server told of. The zero value
// isolates none.
type unseen struct {
	verdict.Policy
	version string // resourceVersion of the NetworkPolicy; empty: it stands for one of another kind
}

// told are policies with the versions that the world has of them.
func (w *world) told(policies []verdict.Policy) []unseen {
	var out []unseen
	for _, p := range policies {
		x := unseen{Policy: p}
		if np := w.policy(types.NamespacedName{Namespace: p.Namespace, Name: p.Name}); np != nil {
			x.version = np.ResourceVersion
		}
		out = append(out, x)
	}
	return out
}

// caughtUp forgets what the API server told of that the cache shows by now, as it was or
// newer: from then on the cache tells what becomes of it. A policy that was deleted before
// any cache showed it stays; its pods are left alone for longer than they need to be.
func (s *session) caughtUp(w *world) {
	s.unshown = slices.DeleteFunc(s.unshown, func(x unseen) bool {
		if x.version == "" {
			return slices.ContainsFunc(s.plan.isolatedByOthers(w), func(p verdict.Policy) bool { return p.Key() == x.Key() })
		}
		have := w.policy(types.NamespacedName{Namespace: x.Namespace, Name: x.Name})
		return have != nil && !newer(x.version, have.ResourceVersion)
	})
}

// shows reports whether the policies of some namespaces are exactly the listed ones.
func (w *world) shows(namespaces []string, listed []networkingv1.NetworkPolicy) bool {
	type version struct {
		uid types.UID
		rv  string
	}
	have := map[types.NamespacedName]version{}
	for i := range w.policies {
		if np := &w.policies[i]; slices.Contains(namespaces, np.Namespace) {
			have[client.ObjectKeyFromObject(np)] = version{np.UID, np.ResourceVersion}
		}
	}
	for i := range listed {
		if np := &listed[i]; have[client.ObjectKeyFromObject(np)] != (version{np.UID, np.ResourceVersion}) {
			return false
		}
	}
	return len(have) == len(listed)
}

// with is the world with the policies that were listed in some namespaces.
func (w *world) with(namespaces []string, listed *listing) *world {
	elsewhere := func(ns string) bool { return !slices.Contains(namespaces, ns) }
	out := &world{verdict: verdict.World{Namespaces: w.verdict.Namespaces}, pods: w.pods, services: w.services, slices: w.slices, others: map[string][]otherPolicy{}}
	for _, p := range listed.others.found {
		out.others[p.namespace] = append(out.others[p.namespace], p)
	}
	for i := range w.policies {
		if elsewhere(w.policies[i].Namespace) {
			out.policies = append(out.policies, w.policies[i])
		}
	}
	out.policies = append(out.policies, listed.policies...)
	for i := range out.policies {
		out.verdict.Policies = append(out.verdict.Policies, verdict.PolicyOf(&out.policies[i]))
	}
	return out
}

// newer reports whether a resourceVersion is newer than another; one that cannot be
// compared is, unless it is the same.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return a != b && (err != nil || order > 0)
}
