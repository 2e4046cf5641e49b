package install

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A pod that is refused for a moment may come yet: its service account was made a
// moment ago.
func TestPodsAreRefusedForGoodAfterAWhile(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	condition := func(status string, age time.Duration) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
			map[string]any{"type": "Available", "status": "False"},
			map[string]any{"type": "ReplicaFailure", "status": status, "message": "exceeded quota", "lastTransitionTime": now.Add(-age).Format(time.RFC3339)},
		}}}}
	}
	for _, tt := range []struct {
		name string
		d    *unstructured.Unstructured
		want string
	}{
		{"for long", condition("True", time.Minute), "exceeded quota"},
		{"for a moment", condition("True", time.Second), ""},
		{"no more", condition("False", time.Minute), ""},
		{"never", &unstructured.Unstructured{Object: map[string]any{}}, ""},
		{"of another form", &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{"x"}}}}, ""},
	} {
		if got := refusedPods(tt.d, now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAStuckPodSaysWhy(t *testing.T) {
	waiting := func(reason, message, image string) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Image: image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	crashed := waiting("CrashLoopBackOff", "", "r/x")
	crashed.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 4, Message: "bad flag"}
	unscheduled := func(age time.Duration) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			Message: "0/3 nodes are available", LastTransitionTime: metav1.NewTime(time.Now().Add(-age))}}}
	}
	for _, tt := range []struct {
		name   string
		status corev1.PodStatus
		want   []string // empty: it may run yet
	}{
		{"an image that is pulled yet", waiting("ContainerCreating", "", "r/x"), nil},
		{"the first attempt to pull", waiting("ErrImagePull", "not found", "r/x"), nil},
		{"an image that no registry has", waiting("ImagePullBackOff", "not found", "r/x"), []string{"image r/x cannot be pulled", "not found", "--image-pull-secret"}},
		{"an image of the lab", waiting("ImagePullBackOff", "not found", "tightrope.dev/controller"), []string{"no registry serves this name", "images push", "--registry"}},
		{"a program that ends", crashed, []string{"exit code 4", "bad flag", "logs"}},
		{"a pod that waits for a node", unscheduled(time.Second), nil},
		{"a pod that gets none", unscheduled(time.Hour), []string{"no node takes it", "0/3 nodes"}},
	} {
		got := stuck(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}, Status: tt.status})
		if (got == "") != (len(tt.want) == 0) {
			t.Errorf("%s: %q", tt.name, got)
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", tt.name, got, want)
			}
		}
	}
}

// What is installed by us is known by who applied it, not by its label alone.
func TestALabelAloneMakesNothingOurs(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetLabels(map[string]string{"app.kubernetes.io/part-of": "tightrope"})
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply}})
	if applied(o) {
		t.Error("somebody else's object is taken for ours")
	}
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: fieldManager, Operation: metav1.ManagedFieldsOperationApply}})
	if !applied(o) {
		t.Error("what we applied is not ours")
	}
}

// The pods of the version before may be in trouble, which is why somebody upgrades.
func TestOnlyPodsOfWhatIsInstalledCount(t *testing.T) {
	pod := func(image string) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
	}
	i := &installer{applied: &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"name": "controller", "image": "tightrope.dev/controller"}}}}}}}}
	if i.current(pod("nowhere.invalid/absent")) || !i.current(pod("tightrope.dev/controller")) {
		t.Error("a pod of another image is taken for one of what is installed, or the other way round")
	}
}
