package controlplane

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
)

// pollInterval is how often a server that cannot announce itself is asked.
const pollInterval = 25 * time.Millisecond

// Client is an administrator's, for use inside the lab's root.
func Client() (kubernetes.Interface, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", KubeconfigPath("admin"))
	if err != nil {
		return nil, fmt.Errorf("administrator's client: %w", err)
	}
	cfg.QPS = -1 // nobody else is disturbed
	cfg.UserAgent = apifault.Exempt
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("administrator's client: %w", err)
	}
	return c, nil
}

// WaitServing returns when the API server says it is ready. A server that does
// not listen yet cannot be watched, so it is asked again and again.
func WaitServing(ctx context.Context, c kubernetes.Interface) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := c.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(time.Second).Do(ctx).Error()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w (last answer: %v)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// WaitAccounts returns when pods can be created in the default namespace: when
// the controllers have made its service account and the trust bundle.
func WaitAccounts(ctx context.Context, c kubernetes.Interface) error {
	only := metav1.ListOptions{FieldSelector: "metadata.name=default"}
	if err := waitFor(ctx, "the service account default/default", func(ctx context.Context) (watch.Interface, error) {
		return c.CoreV1().ServiceAccounts("default").Watch(ctx, only)
	}, func(e watch.Event) bool { return e.Type == watch.Added }); err != nil {
		return err
	}
	only.FieldSelector = "metadata.name=kube-root-ca.crt"
	return waitFor(ctx, "the ConfigMap default/kube-root-ca.crt", func(ctx context.Context) (watch.Interface, error) {
		return c.CoreV1().ConfigMaps("default").Watch(ctx, only)
	}, func(e watch.Event) bool { return e.Type == watch.Added })
}

// WaitNodes returns when so many nodes are Ready.
func WaitNodes(ctx context.Context, c kubernetes.Interface, nodes int) error {
	ready := map[string]bool{}
	return waitFor(ctx, fmt.Sprintf("%d Ready nodes", nodes), func(ctx context.Context) (watch.Interface, error) {
		return c.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	}, func(e watch.Event) bool {
		if n, ok := e.Object.(*corev1.Node); ok && nodeReady(n) {
			ready[n.Name] = true
		}
		return len(ready) >= nodes
	})
}

// nodeReady also asks for the absence of the taint that keeps pods away until
// the controllers have seen the condition.
func nodeReady(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// WaitNodeBack returns when a node that was started anew has given a sign of life
// since then, on its lease, and is Ready. Its status tells nothing of that: it is
// reported again only when it changes, and has whole seconds.
func WaitNodeBack(ctx context.Context, c kubernetes.Interface, name string, started time.Time) error {
	only := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	if err := waitFor(ctx, name+" to be back", func(ctx context.Context) (watch.Interface, error) {
		return c.CoordinationV1().Leases(corev1.NamespaceNodeLease).Watch(ctx, only)
	}, func(e watch.Event) bool {
		l, ok := e.Object.(*coordinationv1.Lease)
		return ok && l.Spec.RenewTime != nil && l.Spec.RenewTime.After(started)
	}); err != nil {
		return err
	}
	return waitFor(ctx, name+" to be Ready again", func(ctx context.Context) (watch.Interface, error) {
		return c.CoreV1().Nodes().Watch(ctx, only)
	}, func(e watch.Event) bool {
		n, ok := e.Object.(*corev1.Node)
		return ok && nodeReady(n)
	})
}

// WaitDNS returns when a CoreDNS pod stands behind the DNS Service.
func WaitDNS(ctx context.Context, c kubernetes.Interface) error {
	return waitFor(ctx, "a ready CoreDNS pod", func(ctx context.Context) (watch.Interface, error) {
		return c.DiscoveryV1().EndpointSlices("kube-system").Watch(ctx,
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kube-dns"})
	}, func(e watch.Event) bool {
		slice, ok := e.Object.(*discoveryv1.EndpointSlice)
		if !ok {
			return false
		}
		for _, ep := range slice.Endpoints {
			if ep.Conditions.Ready != nil && *ep.Conditions.Ready {
				return true
			}
		}
		return false
	})
}

// waitFor watches until done says so. A watch without a resource version begins
// with what exists; one that breaks is begun again.
func waitFor(ctx context.Context, what string, open func(context.Context) (watch.Interface, error), done func(watch.Event) bool) error {
	for {
		w, err := open(ctx)
		if err != nil && !apierrors.IsServerTimeout(err) && !apierrors.IsTooManyRequests(err) && ctx.Err() == nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if err == nil && until(ctx, w, done) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("gave up waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

func until(ctx context.Context, w watch.Interface, done func(watch.Event) bool) bool {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case e, open := <-w.ResultChan():
			if !open {
				return false
			}
			if done(e) {
				return true
			}
		}
	}
}
