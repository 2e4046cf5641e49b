package main

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// A probe pod is never ready, not even for a moment after its kubelet was killed and
// started again, and nobody's alerts fire on it.
func TestAProbePodIsNeverReadyAndNobodyIsToldOfIt(t *testing.T) {
	kubeconfig := sharedLab(t)
	kube := clientset(t, kubeconfig)
	name := filepath.Base(filepath.Dir(kubeconfig))
	args := append(writeShop(t, "v-ready", "8080", lets), "--cluster", "current", "--kubeconfig", kubeconfig, "--report", t.TempDir(), "--for", "100s", "--timeout", "110s")
	cleared(t, kubeconfig, "v-ready")
	p := start(t, append([]string{"verify"}, args...)...)
	p.await(t, "Trying every path")
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	watch, err := kube.CoreV1().Pods("v-ready").Watch(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	fault := start(t, "lab", "fault", "kill", "node-1", "node-2", "--for", "1s", "--name", name)
	again := map[string]bool{} // probe pods whose containers run again
	for e := range watch.ResultChan() {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			t.Fatalf("%+v", e.Object)
		}
		for _, c := range pod.Status.Conditions {
			if c.Status == corev1.ConditionTrue && (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) {
				t.Errorf("pod %s is %s", pod.Name, c.Type)
			}
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.Ready {
				t.Errorf("container of pod %s is ready", pod.Name)
			}
			if c.RestartCount > 0 && c.State.Running != nil {
				again[pod.Name] = true
			}
		}
		if len(again) == 2 || t.Failed() {
			break
		}
	}
	if code := fault.end(t); code != exitOK || len(again) != 2 {
		t.Fatalf("the fault ended with %d, and %d probe pods run again, want 2", code, len(again))
	}
	p.signal(t, syscall.SIGINT)
	if code := p.end(t); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	events, err := kube.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "reason=Unhealthy"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		theirs := e.InvolvedObject.Namespace == v1alpha1.SystemNamespace // a controller that another test left has a probe that its restart fails
		if strings.HasPrefix(e.InvolvedObject.Name, "tightrope-") && !theirs {
			t.Errorf("event of pod %s: %s", e.InvolvedObject.Name, e.Message)
		}
	}
}
