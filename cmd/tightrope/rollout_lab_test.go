package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// steered runs a command of `tightrope rollout` in the test's namespace.
func steered(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append(append([]string{"rollout"}, args...), "-n", "back", "--kubeconfig", config), &out, &errs)
	return code, out.String(), errs.String()
}

// wants runs one and wants an exit code, and the texts in what it prints.
func wants(t *testing.T, config string, code int, args []string, texts ...string) {
	t.Helper()
	got, out, errs := steered(t, config, args...)
	if got != code {
		t.Fatalf("%q: exit code %d, want %d:\n%s%s", args, got, code, out, errs)
	}
	contains(t, out+errs, texts...)
}

// aPlatform puts the smallest platform, its suite and the controller on the lab, and
// writes two rollouts: a good one, and one that cuts a path. Stages of theirs are called
// as places of a run are, which is nothing to anybody.
func aPlatform(t *testing.T, config string) (good, bad, suite string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	says(t, exitOK, "plan", file(t, "small.yaml", small(t, openBlock, "")), "--manifests", dir)
	if code, _, errs := managed(t, config, "install", "--single-tenant"); code != exitOK {
		t.Fatalf("install: %s", errs)
	}
	cleared(t, config, "front", "back")
	kubectlOn(t, config, "", "apply", "-f", filepath.Join(dir, "platform.yaml"))
	for _, name := range []string{"front/app", "back/store"} {
		namespace, name, _ := strings.Cut(name, "/")
		kubectlOn(t, config, "", "-n", namespace, "wait", "--for=condition=Available", "--timeout=60s", "deployment/"+name)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "rollout.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "\n  name: small\n", "\n  name: good\n", 1)
	const few = "  - minDuration: 0s\n    mode: Canary\n    name: few\n    scope:\n      maxPods: 10%\n"
	if !strings.Contains(text, few) {
		t.Fatalf("the rollout has no stage that can be left out:\n%s", text)
	}
	if !strings.Contains(text, "    name: observe\n") {
		t.Fatalf("the rollout has no stage that observes:\n%s", text)
	}
	good = file(t, "good.yaml", strings.NewReplacer(few, "", "    name: observe\n", "    name: rollback\n").Replace(text)) // two seconds less
	broken := strings.NewReplacer("\n  name: good\n", "\n  name: bad\n", "    name: few\n", "    name: commit\n", "app: app", "app: nobody",
		"\nspec:\n", "\nspec:\n  exceptions: [{type: PredictedCut, path: app→store, reason: packets are to show it}]\n").Replace(text)
	return good, file(t, "bad.yaml", broken), filepath.Join(dir, "suite.yaml")
}

// A person takes a good and a bad rollout to a cluster, holds one, takes it back, and
// tries it again.
func TestRolloutsAreSteeredOnACluster(t *testing.T) {
	config := sharedLab(t)
	good, bad, suite := aPlatform(t, config)
	out := t.TempDir()

	typo, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, config, exitUsage, []string{"apply", "-f", suite, "-f", file(t, "typo.yaml", strings.Replace(string(typo), "mode: Canary", "mode: Canari", 1))},
		"typo.yaml:", "did you mean Canary?")
	wants(t, config, exitUsage, []string{"apply", "-f", bad, "--wait"}, "spec.suites[0].name", "there is no ConnectivitySuite back/small")
	wants(t, config, exitOK, []string{"list"}, "no rollouts found") // nothing was written in either case
	wants(t, config, exitOK, []string{"apply", "-f", suite, "-f", bad, "--dry-run=server"}, "policyrollout.tightrope.dev/bad serverside-applied (server dry run)")
	wants(t, config, exitUsage, []string{"status", "bad"}, "no PolicyRollout and no run")

	wants(t, config, exitCut, []string{"apply", "-f", suite, "-f", bad, "--wait", "--report", out}, "app→store was cut in commit", "Canary (commit)", "RollingBack", "Report in "+filepath.Join(out, "bad"))
	wants(t, config, exitCut, []string{"status", "bad", "--for=complete"}, "RolledBack")
	for _, f := range report.Formats {
		if info, err := os.Stat(filepath.Join(out, "bad", f.File)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f.File, err)
		}
	}
	wants(t, config, exitInconclusive, []string{"apply", "-f", bad, "--wait"}, "is unchanged and was tried before", "tightrope rollout retry bad -n back --kubeconfig")
	wantBaseline(t, config)

	wants(t, config, exitOK, []string{"apply", "-f", good}, "policyrollout.tightrope.dev/good serverside-applied")
	wants(t, config, exitOK, []string{"status", "good", "--for=stage=rollback"}, "run good-")
	wants(t, config, exitUsage, []string{"status", "good", "--for=stage=al"}, "did you mean all?")
	wants(t, config, exitOK, []string{"pause", "good"}, "paused")
	wants(t, config, exitUsage, []string{"pause", "good"}, "it is paused already")
	wantOtherSourcesTold(t, config, good, suite)
	wants(t, config, exitUsage, []string{"retry", "good"}, "goes on", "abort it first")
	wants(t, config, exitOK, []string{"status", "good"}, "Paused:", "intent Pause", "nothing goes forward until it is Run again")
	wants(t, config, exitOK, []string{"report", "good"}, "Not verified: run good-")
	wants(t, config, exitOK, []string{"list", "-o", "wide"}, "NAME", "bad", "RolledBack", "paused in ")
	wants(t, config, exitInconclusive, []string{"status", "good", "--for=committed", "--timeout=1s"}, "not within 1s")
	watching := start(t, "rollout", "watch", "good", "-n", "back", "--kubeconfig", config)
	watching.await(t, "paused in ")
	watching.signal(t, syscall.SIGINT)
	if code := watching.end(t); code != exitInterrupted {
		t.Errorf("Ctrl-C: exit code %d, want %d", code, exitInterrupted)
	}
	contains(t, watching.stderr.String(), "goes on in the cluster; abort it with: tightrope rollout abort good -n back")
	wants(t, config, exitOK, []string{"resume", "good"}, "resumed")
	wants(t, config, exitOK, []string{"abort", "good"}, "aborted: the baseline is back")
	wants(t, config, exitUsage, []string{"abort", "good"}, "it is over (RolledBack)")
	wantBaseline(t, config)

	wants(t, config, exitOK, []string{"retry", "good", "--wait"}, "(attempt 2)", "Committed", "3 of 3 paths hold")
	wants(t, config, exitUsage, []string{"retry", "good"}, "is committed: there is nothing to try again")
	wants(t, config, exitInconclusive, []string{"apply", "-f", suite, "-f", good, "--wait"}, "(Committed): nothing was tested now; a committed run is not tried again")
	wantTheReport(t, config)
	if left := policiesOf(t, config); len(left) != 1 || left[0] != "back/store" {
		t.Errorf("policies %v, want the committed one", left)
	}
	wantNoProbes(t, config)
}

// wantOtherSourcesTold changes the suite of a run that goes on, and nothing about its
// rollout: nobody may take the run for one of the changed suite.
func wantOtherSourcesTold(t *testing.T, config, rollout, suite string) {
	t.Helper()
	raw, err := os.ReadFile(suite)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(raw), "app→store", "app to store", 1)
	if changed == string(raw) {
		t.Fatalf("the suite has no such path:\n%s", raw)
	}
	other := file(t, "suite.yaml", changed)
	wants(t, config, exitInconclusive, []string{"apply", "-f", other, "-f", rollout, "--wait"},
		"does not try what was applied: it was planned with another ConnectivitySuite small than was applied", "tightrope rollout abort good", "tightrope rollout retry good")
	wants(t, config, exitOK, []string{"apply", "-f", other, "-f", rollout}, "warning: rollout back/good is unchanged", "another ConnectivitySuite small")
	wants(t, config, exitUsage, []string{"apply", "-f", suite, "--wait"}, "no PolicyRollout is in the files")
	wants(t, config, exitOK, []string{"apply", "-f", suite, "-f", rollout}, "serverside-applied")
}

// wantTheReport wants the same report from the run and from its ConfigMap as kubectl
// prints it, which does not say on which cluster; and no word of one that somebody edited.
func wantTheReport(t *testing.T, config string) {
	t.Helper()
	direct, piped := filepath.Join(t.TempDir(), "direct"), filepath.Join(t.TempDir(), "piped")
	wants(t, config, exitOK, []string{"report", "good", "-o", direct}, "Report in "+direct)
	if _, out, _ := steered(t, config, "report", "good"); strings.Contains(out, "Not verified") {
		t.Errorf("its digest was checked, and the report says otherwise:\n%s", out)
	}
	maps, err := clientOf(t, config).CoreV1().ConfigMaps("back").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRole + "=report"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cm := range maps.Items {
		if strings.HasPrefix(cm.Name, "good-") && strings.Contains(cm.Data["report.json"], `"Committed"`) {
			says(t, exitOK, "report", "render", "-f", file(t, "cm.yaml", asYAML(t, cm)), "--to", piped)
			cm.Data["report.json"] = strings.Replace(cm.Data["report.json"], "Holds", "holds", 1)
			if _, err := clientOf(t, config).CoreV1().ConfigMaps("back").Update(t.Context(), &cm, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range report.Formats {
		if info, err := os.Stat(filepath.Join(piped, f.File)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f.File, err)
		}
	}
	one, other := parsed(t, direct), parsed(t, piped)
	if one.Cluster == "" {
		t.Error("the report does not say on which cluster it was")
	}
	if one.Cluster = ""; !reflect.DeepEqual(one, other) {
		t.Errorf("from the run %+v, from its ConfigMap %+v", one, other)
	}
	shown, _ := says(t, exitOK, "report", "show", filepath.Join(direct, "report.json"))
	contains(t, shown, "Committed: 3 of 3 paths hold")
	wants(t, config, exitInconclusive, []string{"report", "good"}, "the report is not the one that the controller wrote")
}

func parsed(t *testing.T, folder string) *report.Report {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asYAML is a ConfigMap as kubectl get -o yaml prints it.
func asYAML(t *testing.T, cm corev1.ConfigMap) string {
	t.Helper()
	cm.APIVersion, cm.Kind = "v1", "ConfigMap"
	raw, err := yaml.Marshal(cm)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// wantNoProbes wants no pod of a run, and no run that is under way.
func wantNoProbes(t *testing.T, config string) {
	t.Helper()
	pods, err := clientOf(t, config).CoreV1().Pods(metav1.NamespaceAll).List(context.Background(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		t.Errorf("pod %s/%s is left", pod.Namespace, pod.Name)
	}
}
