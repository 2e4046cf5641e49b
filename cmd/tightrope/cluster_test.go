package main

import (
	"bytes"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// cleared deletes namespaces once the test is over: those of another scenario's
// topology would be in the way of the next test's.
func cleared(t *testing.T, config string, namespaces ...string) {
	t.Cleanup(func() {
		kubectlOn(t, config, "", append([]string{"delete", "namespace", "--ignore-not-found", "--wait=true"}, namespaces...)...)
	})
}

// played runs a scenario on a cluster.
func played(t *testing.T, config, scenario string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	path := file(t, "scenario.yaml", scenario)
	code = run(append([]string{"run", path, "--cluster", "current", "--kubeconfig", config, "--report", t.TempDir()}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// theirs is somebody's application where a scenario wants to put its own.
func theirs(t *testing.T, config, namespace, name string) {
	t.Helper()
	if _, err := clientOf(t, config).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "theirs"}}}},
	}}
	if _, err := clientOf(t, config).AppsV1().Deployments(namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// wantTheirs wants the application untouched, and nothing else in its namespace.
func wantTheirs(t *testing.T, config, namespace, name string) {
	t.Helper()
	list, err := clientOf(t, config).AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%v; Deployments %v", err, list.Items)
	}
	if d := list.Items[0]; d.Name != name || d.Generation != 1 || d.Spec.Template.Spec.Containers[0].Image != "theirs" || len(d.Labels) > 0 {
		t.Errorf("it was changed: %+v", d)
	}
}

// A scenario writes nothing where somebody else's is in its way: not even to the
// namespaces that are free.
func TestAScenarioNeverTouchesWhatIsNotItsOwn(t *testing.T) {
	config := sharedLab(t)
	cleared(t, config, "their-front", "their-back", "their-other")
	theirs(t, config, "their-back", "store")
	scenario := small(t, metadata, "metadata: {name: intruder, namespace: their-back}")
	scenario = strings.NewReplacer("namespace: back", "namespace: their-back", "namespace: front", "namespace: their-front",
		"{name: front}, {name: back}", "{name: their-front}, {name: their-back}", "metadata.name: front", "metadata.name: their-front").Replace(scenario)
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"in a namespace that is there", nil, []string{"namespaces their-back are there and not this scenario's", "tightrope.dev/scenario=intruder", "nothing was written", "--adopt-namespaces", "--cluster lab"}},
		{"over an object that is there", []string{"--adopt-namespaces"}, []string{"Deployment their-back/store: there, and not this scenario's", "nothing was written", "never overwrites"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, errs := played(t, config, scenario, tt.args...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			contains(t, errs, append(tt.says, "scenario intruder: ")...)
			wantTheirs(t, config, "their-back", "store")
			if _, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), "their-front", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("a namespace was made: %v", err)
			}
		})
	}
	t.Run("in a namespace of another scenario", func(t *testing.T) {
		kubectlOn(t, config, "", "create", "namespace", "their-other")
		kubectlOn(t, config, "", "label", "namespace", "their-other", v1alpha1.LabelScenario+"=other")
		code, _, errs := played(t, config, strings.ReplaceAll(scenario, "their-back", "their-other"))
		if code != exitUsage {
			t.Errorf("exit code %d, want %d", code, exitUsage)
		}
		contains(t, errs, "namespaces their-other are there")
	})
}

// Beside what is there, and never over it. What it says at the end removes all that
// it left, and nothing else.
func TestWhatARunLeavesIsSaidAndCanBeRemoved(t *testing.T) {
	config := sharedLab(t)
	cleared(t, config, "front", "back")
	theirs(t, config, "back", "theirs")
	code, out, errs := played(t, config, small(t, metadata, "metadata: {name: guest, namespace: back}", openBlock, ""), "--adopt-namespaces")
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	_, left, found := strings.Cut(out, "\nLeft on cluster ")
	if !found {
		t.Fatalf("nobody says what is left:\n%s", out)
	}
	contains(t, left, "PolicyRollout back/guest", "ConnectivitySuite back/guest", "policy back/store", "what the scenario put into namespace back",
		"namespaces front, with the policies in them", "CustomResourceDefinition", "Namespace tightrope-system", "ClusterRole tightrope-controller")
	_, commands, _ := strings.Cut(left, "Remove it with:\n")
	for _, line := range strings.Split(strings.TrimSpace(commands), "\n") {
		args, ours := strings.CutPrefix(strings.TrimSpace(line), "kubectl --kubeconfig "+config+" ")
		if !ours {
			t.Fatalf("%q is no command for this cluster", line)
		}
		kubectlOn(t, config, "", strings.Fields(args)...)
	}
	wantTheirs(t, config, "back", "theirs")
	wantBaseline(t, config)
	for _, name := range []string{"front", v1alpha1.SystemNamespace} {
		if _, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("namespace %s is left: %v", name, err)
		}
	}
	services, err := clientOf(t, config).CoreV1().Services("back").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(services.Items) > 0 {
		t.Errorf("%v; Services are left: %v", err, services.Items)
	}
}

// What somebody else made is not taken over, and what another version would prove is
// not this one's word. Nothing is written in either case.
func TestAnInstallationOfOthersIsNotReplaced(t *testing.T) {
	config := sharedLab(t)
	untouched := func(t *testing.T, says ...string) {
		t.Helper()
		code, _, errs := played(t, config, small(t, metadata, "metadata: {name: second, namespace: back}"))
		if code != exitUsage {
			t.Errorf("exit code %d, want %d", code, exitUsage)
		}
		contains(t, errs, says...)
		if _, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), "back", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("a namespace was made: %v", err)
		}
	}
	kubectlOn(t, config, "", "delete", "namespace", v1alpha1.SystemNamespace, "--ignore-not-found")
	kubectlOn(t, config, "", "delete", "clusterrole", "tightrope-controller", "--ignore-not-found")
	kubectlOn(t, config, "", "create", "clusterrole", "tightrope-controller", "--verb=get", "--resource=pods")
	untouched(t, "clusterrole/tightrope-controller", "conflict")
	kubectlOn(t, config, "", "delete", "clusterrole", "tightrope-controller")

	kubectlOn(t, config, "", "create", "namespace", v1alpha1.SystemNamespace)
	t.Cleanup(func() { kubectlOn(t, config, "", "delete", "namespace", v1alpha1.SystemNamespace) })
	kubectlOn(t, config, "", "-n", v1alpha1.SystemNamespace, "create", "deployment", "tightrope-controller", "--image=older", "--replicas=0")
	kubectlOn(t, config, "", "-n", v1alpha1.SystemNamespace, "label", "deployment", "tightrope-controller", "app.kubernetes.io/version=v0.0.1")
	untouched(t, "another version of Tightrope", "v0.0.1", "tightrope upgrade", "nothing was written")
}
