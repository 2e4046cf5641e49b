package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
)

// dnsNamespace, dnsDeployment and dnsSelector name what answers DNS.
const (
	dnsNamespace  = "kube-system"
	dnsDeployment = "coredns"
	dnsSelector   = "k8s-app=kube-dns"
	dnsProgram    = "coredns"

	lookAgain = 20 * time.Millisecond // for processes, whose end is announced to their parents only
)

// killDNS takes the DNS pods away, at once, and lets none come instead of them.
func (k *Keeper) killDNS(ctx context.Context) (undo, error) {
	deployments := k.machine.Client().AppsV1().Deployments(dnsNamespace)
	d, err := deployments.Get(ctx, dnsDeployment, metav1.GetOptions{})
	if err != nil {
		return nothing, fmt.Errorf("read the DNS deployment: %w", err)
	}
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	scaleTo := func(ctx context.Context, n int32) error {
		s := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: dnsDeployment, Namespace: dnsNamespace},
			Spec: autoscalingv1.ScaleSpec{Replicas: n}}
		if _, err := deployments.UpdateScale(ctx, dnsDeployment, s, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("scale the DNS deployment to %d: %w", n, err)
		}
		return nil
	}
	back := func(ctx context.Context) error {
		if err := scaleTo(ctx, replicas); err != nil {
			return err
		}
		return k.awaitDNS(ctx, func(ready int) bool { return ready >= int(replicas) })
	}
	if err := scaleTo(ctx, 0); err != nil {
		return back, err
	}
	now := int64(0)
	pods := k.machine.Client().CoreV1().Pods(dnsNamespace)
	err = pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: dnsSelector})
	if err != nil {
		return back, fmt.Errorf("delete the DNS pods: %w", err)
	}
	return back, k.killProcesses(ctx, dnsProgram)
}

// killProcesses kills all of a program on the nodes. The kubelet would end them
// soon, for their pods are gone, or start one again that it has not seen go.
func (k *Keeper) killProcesses(ctx context.Context, program string) error {
	for {
		left := 0
		for _, node := range k.machine.Nodes() {
			pid, err := k.machine.PID(node)
			if err != nil {
				continue // a node that is down runs nothing
			}
			all, err := Descendants(pid)
			if err != nil {
				return err
			}
			for _, p := range all {
				if runs(p, program) {
					left++
					_ = unix.Kill(p, unix.SIGKILL) // it has ended otherwise
				}
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return fmt.Errorf("%d processes of %s do not end: %w", left, program, context.Cause(ctx))
		}
	}
}

// runs says whether a process is this part of labd.
func runs(pid int, part string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := strings.Split(string(b), "\x00")
	return err == nil && len(args) > 1 && args[1] == part
}

// awaitDNS returns when so many DNS pods are ready.
func (k *Keeper) awaitDNS(ctx context.Context, enough func(int) bool) error {
	pods := k.machine.Client().CoreV1().Pods(dnsNamespace)
	for {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: dnsSelector})
		if err != nil {
			return fmt.Errorf("list the DNS pods: %w", err)
		}
		ready := 0
		for i := range list.Items {
			if isReady(&list.Items[i]) {
				ready++
			}
		}
		if enough(ready) {
			return nil
		}
		w, err := pods.Watch(ctx, metav1.ListOptions{LabelSelector: dnsSelector, ResourceVersion: list.ResourceVersion})
		if err != nil {
			return fmt.Errorf("watch the DNS pods: %w", err)
		}
		select {
		case <-w.ResultChan():
			w.Stop()
		case <-ctx.Done():
			w.Stop()
			return fmt.Errorf("wait for the DNS pods (%d are ready): %w", ready, context.Cause(ctx))
		}
	}
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// spoil tells the API server to treat one client's requests badly.
func (k *Keeper) spoil(id int, r apifault.Rule) (undo, error) {
	back := func(context.Context) error { return k.api.Remove(id) }
	return back, k.api.Add(id, r)
}

// retune annotates nodes with a profile; undone, they are annotated as before.
func (k *Keeper) retune(ctx context.Context, nodes []string, text string) (undo, error) {
	if len(nodes) == 0 {
		nodes = k.machine.Nodes()
	}
	before := map[string]*string{}
	back := func(ctx context.Context) error {
		var errs []error
		for node, was := range before {
			if err := k.annotate(ctx, node, was); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, err)
				continue
			}
			delete(before, node)
		}
		return errors.Join(errs...)
	}
	for _, node := range nodes {
		n, err := k.machine.Client().CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return back, fmt.Errorf("read node %s: %w", node, err)
		}
		before[node] = nil
		if was, annotated := n.Annotations[profile.Annotation]; annotated {
			before[node] = &was
		}
		if err := k.annotate(ctx, node, &text); err != nil {
			return back, err
		}
	}
	return back, nil
}

func (k *Keeper) annotate(ctx context.Context, node string, text *string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{profile.Annotation: text}}})
	if err == nil {
		_, err = k.machine.Client().CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("annotate node %s: %w", node, err)
	}
	return nil
}
