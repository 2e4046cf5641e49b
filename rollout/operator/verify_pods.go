package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

const (
	// verifyLook is how often a verification looks at pods and at what they say.
	verifyLook = 100 * time.Millisecond
	// verifyRead is how often it reads the whole cluster anew.
	verifyRead = time.Second
	// removeWithin bounds how long it may take to remove what was made.
	removeWithin = 45 * time.Second
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

// nodes are those where a probe pod or a target runs, sorted; the first of them
// where there are very many.
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
	all := slices.Sorted(maps.Keys(nodes))
	return all[:min(len(all), maxMarkerNodes)]
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
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer stop()
	if x.bench != nil {
		x.bench.Close()
	}
	if x.set != nil {
		x.set.Close()
	}
	namespaces := []string{x.plan.Home}
	for _, id := range x.plan.Identities {
		namespaces = append(namespaces, id.Namespace)
	}
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	for {
		left, err := x.remove(ctx, namespaces)
		if left == "" && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s left; remove it with: %s", cmp.Or(left, "something is"), removal(x.placer.Owner.Name, namespaces)), err)
		case <-time.After(verifyLook):
		}
	}
}

// remove deletes what is there and says what still is; empty: nothing.
func (x *verifier) remove(ctx context.Context, namespaces []string) (left string, err error) {
	n, err := x.placer.Clear(ctx, namespaces)
	if n > 0 {
		left = fmt.Sprintf("%d pods and ConfigMaps", n)
	}
	home := &corev1.Namespace{}
	switch got := x.api.Get(ctx, client.ObjectKey{Name: x.plan.Home}, home); {
	case apierrors.IsNotFound(got):
		return left, err
	case got != nil:
		return left, errors.Join(err, got)
	case !x.placer.Owner.Made(home):
		return left, err
	case home.DeletionTimestamp == nil && n == 0:
		err = errors.Join(err, x.placer.Write.Delete(ctx, home))
	}
	if left == "" {
		left = "namespace " + home.Name
	}
	return left, err
}

// removal is the command that removes what a verification left.
func removal(name string, namespaces []string) string {
	line := ""
	for _, ns := range namespaces {
		if ns != name {
			line += fmt.Sprintf("kubectl -n %s delete pods,configmaps -l %s=%s && ", ns, v1alpha1.LabelRun, name)
		}
	}
	return line + "kubectl delete namespace " + name
}
