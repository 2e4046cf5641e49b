package node

import (
	"context"
	"fmt"
	"maps"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// labels is what a node carries besides what the kubelet adds.
func labels(cfg Config) map[string]string {
	return map[string]string{
		corev1.LabelHostname: cfg.Name, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
	}
}

// register makes the Node object before the kubelet does: the pod range is a
// field that the kubelet leaves to a controller, and here it follows from the node's number.
func register(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cfg.Name, Labels: maps.Clone(labels(cfg))},
		Spec: corev1.NodeSpec{PodCIDR: cfg.PodCIDRs[0], PodCIDRs: cfg.PodCIDRs}}
	_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %s: %w", cfg.Name, err)
	}
	return nil
}
