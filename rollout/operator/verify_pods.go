package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
)

const (
	// verifyLook is how often a verification looks at pods and at what they say.
	verifyLook = 100 * time.Millisecond
	// verifyRead is how often it reads the whole cluster anew.
	verifyRead = time.Second
)

// place makes the probe pods and waits until each has said that it follows its plan.
func (x *verifier) place(ctx context.Context) error {
	specs := x.agents()
	x.listen(specs, 0)
	for {
		waiting, err := x.ensure(ctx, specs)
		if err != nil {
			return err
		}
		if waiting == "" && x.set.AllCurrent() {
			return x.read(ctx, 0)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: it waited for the probe pods: %s", context.Cause(ctx), waiting)
		case <-time.After(verifyLook):
		}
	}
}

func (x *verifier) listen(specs []agentSpec, grace time.Duration) {
	var heard []pods.Spec
	for _, spec := range specs {
		heard = append(heard, spec.pod(x.placer.Owner))
	}
	x.set.Listen(x.placer.Logs, grace, heard)
}

// ensure makes every probe pod be there, and says which one does not run; empty: all do.
func (x *verifier) ensure(ctx context.Context, specs []agentSpec) (waiting string, err error) {
	for _, spec := range specs {
		var seen *corev1.Pod
		pod := &corev1.Pod{}
		switch err := x.api.Get(ctx, spec.name, pod); {
		case err == nil:
			seen = pod
		case !apierrors.IsNotFound(err):
			return "", fmt.Errorf("read probe pod %s: %w", spec.name, err)
		}
		up, err := x.placer.Ensure(ctx, x.set, seen, spec.pod(x.placer.Owner))
		if err != nil && (pods.IsRefused(err) || ctx.Err() != nil) {
			return "", err
		}
		if up != nil {
			continue
		}
		waiting = fmt.Sprintf("%s does not run", spec.name)
		if err != nil {
			waiting += ": " + err.Error() // it may pass
		} else if seen != nil && pods.Waiting(seen) != "" {
			waiting += ": " + pods.Waiting(seen)
		}
	}
	return waiting, nil
}

// read reads the cluster anew if what is known of it is older than maxAge.
func (x *verifier) read(ctx context.Context, maxAge time.Duration) (err error) {
	if time.Since(x.readAt) < maxAge {
		return nil
	}
	w, err := readWorld(ctx, x.api)
	if err != nil {
		return err
	}
	x.world, x.readAt = w, time.Now()
	return nil
}

// nodes are those where a probe pod or a target runs, sorted.
func (x *verifier) nodes() []string {
	nodes := map[string]bool{}
	for _, spec := range x.agents() {
		if pod := x.world.pods[spec.name]; pod != nil {
			nodes[pod.Spec.NodeName] = true
		}
	}
	for _, path := range x.plan.Paths {
		for _, b := range x.world.backends(path.To.Service) {
			if !b.pod.Spec.HostNetwork {
				nodes[b.pod.Spec.NodeName] = true
			}
		}
	}
	delete(nodes, "")
	return slices.Sorted(maps.Keys(nodes))
}

// asked are the nodes that were asked whether they enforce policies. The zero value
// is none.
type asked struct {
	nodes []string // the first of them, sorted
	over  []string // that nobody asked, because there are very many
	late  []string // that a probe pod or a target came to only after that, sorted
}

// ask chooses the nodes to ask.
func (a *asked) ask(nodes []string) {
	n := min(len(nodes), maxMarkerNodes)
	*a = asked{nodes: nodes[:n], over: nodes[n:]}
}

// see notes nodes of probe pods and targets that nobody asked.
func (a *asked) see(nodes []string) {
	for _, n := range nodes {
		if !slices.Contains(a.nodes, n) && !slices.Contains(a.over, n) {
			a.late = union(a.late, []string{n})
		}
	}
	slices.Sort(a.late)
}

// notTested says of which nodes nobody knows whether they enforce policies.
func (a *asked) notTested() []report.NotTested {
	var out []report.NotTested
	if len(a.over) > 0 {
		out = append(out, report.NotTested{What: fmt.Sprintf("whether %d nodes enforce policies", len(a.over)),
			Reason: fmt.Sprintf("the first %d nodes of probe pods and targets are asked only", maxMarkerNodes)})
	}
	if len(a.late) > 0 {
		out = append(out, report.NotTested{What: "whether these nodes enforce policies: " + strings.Join(a.late, ", "),
			Reason: "a probe pod or a target came to them after the others had been asked"})
	}
	return out
}

// where says on how much of the cluster policies are enforced.
func (a *asked) where() string {
	if len(a.over) == 0 {
		return "on a cluster that enforces policies"
	}
	return fmt.Sprintf("on a cluster of which %d nodes enforce policies, and %d were not asked", len(a.nodes), len(a.over))
}

// enforces proves that the nodes enforce policies, or says in x.problem why that
// could not be shown. It returns the slowest effect.
func (x *verifier) enforces(ctx context.Context, nodes []string) (time.Duration, error) {
	x.bench = &enforcing.Bench{Namespace: x.plan.Home, Nodes: nodes, Placer: x.placer}
	if err := x.bench.Up(ctx); err != nil {
		return 0, fmt.Errorf("ask the cluster whether it enforces policies: %w", err)
	}
	result, err := x.bench.Measure(ctx, 1)
	if errors.Is(err, enforcing.ErrNoNetwork) {
		x.problem = err.Error()
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("ask the cluster whether it enforces policies: %w", err)
	}
	x.problem = result.Problem()
	x.record.State.Settle = max(result.Slowest(), leastSettle)
	return result.Slowest(), nil
}

// cleanUp removes everything that was made, also after ctx has ended, and waits
// until it is gone.
func (x *verifier) cleanUp(ctx context.Context) error {
	if x.bench != nil {
		x.bench.Close()
	}
	if x.set != nil {
		x.set.Close()
	}
	namespaces := []string{}
	for _, id := range x.plan.Identities {
		namespaces = append(namespaces, id.Namespace)
	}
	return x.placer.RemoveAll(ctx, namespaces)
}
