package kind

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// look is how often the cluster is asked whether it is ready.
const look = 500 * time.Millisecond

// ready waits until every node is Ready, and what kind itself has deployed (DNS among
// it) is available. kind's own wait is for control planes alone, and passes when it is
// over. The error says what was waited for.
func (c *Cluster) ready(ctx context.Context) error {
	nodes, err := c.provider.ListInternalNodes(c.name)
	if err != nil {
		return fmt.Errorf("nodes of kind cluster %s: %w", c.name, said(err))
	}
	kube, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	c.say(fmt.Sprintf("waiting until %d nodes are Ready", len(nodes)))
	within, stop := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("after %v", readyWithin))
	defer stop()
	var waiting []string
	for {
		now, err := unready(within, kube, len(nodes))
		if err == nil && len(now) == 0 {
			return nil
		}
		if err == nil {
			waiting = now
		} else if within.Err() == nil {
			waiting = []string{err.Error()}
		}
		select {
		case <-within.Done():
			return fmt.Errorf("kind cluster %s is not ready: %w: %s", c.name, context.Cause(within), advised(strings.Join(waiting, "; ")))
		case <-time.After(look):
		}
	}
}

// unready says of every node and Deployment that is not ready why; none: all are.
func unready(ctx context.Context, kube kubernetes.Interface, want int) ([]string, error) {
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	deployments, err := kube.AppsV1().Deployments(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list deployments: %w", err)
	}
	why := map[string]bool{}
	if len(nodes.Items) < want {
		why[fmt.Sprintf("%d of %d nodes have joined", len(nodes.Items), want)] = true
	}
	for _, n := range nodes.Items {
		if says := notReady(n.Status.Conditions); says != "" {
			why["node "+n.Name+": "+says] = true
		}
	}
	for _, d := range deployments.Items {
		if says := unavailable(&d); says != "" {
			why["deployment "+d.Namespace+"/"+d.Name+": "+says] = true
		}
	}
	return slices.Sorted(maps.Keys(why)), nil
}

func notReady(conditions []corev1.NodeCondition) string {
	for _, c := range conditions {
		switch {
		case c.Type != corev1.NodeReady:
		case c.Status == corev1.ConditionTrue:
			return ""
		default:
			return c.Message
		}
	}
	return "it has not said anything yet"
}

func unavailable(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration < d.Generation {
		return "it is new"
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue {
			return ""
		}
	}
	return "it is not available"
}

// advised says what to do where no network plugin came up.
func advised(waiting string) string {
	if !strings.Contains(waiting, "cni plugin not initialized") {
		return waiting
	}
	return waiting + "; does the configuration switch kind's network plugin off? Nothing else brings one: create the cluster with kind, install yours, and use --cluster current"
}
