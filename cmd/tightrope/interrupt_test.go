package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// goneWithin bounds how long a lab may outlive the process that made it.
const goneWithin = 10 * time.Second

// labOf is the user namespace of the lab that a process made, and the processes in it.
func labOf(t *testing.T, name string) (namespace string, pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, file := range files {
		cmdline, _ := os.ReadFile(file) // it may have ended since
		if !strings.Contains(string(cmdline), `"name":"`+name+`"`) {
			continue
		}
		if ns, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns", "user")); err == nil {
			namespace, pids = ns, append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return namespace, pids
}

// leftovers counts the processes, namespaces and mounts of a lab, as the
// repository's script does.
func leftovers(namespace string) (said string, none bool) {
	cmd := exec.Command("bash", "../../hack/lab-leftovers.sh", namespace)
	cmd.Env = append(os.Environ(), "TMPDIR=/nowhere") // the folder has the shared lab too; see wantNoLab
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// livingLab is the user namespace of the lab that a process has, which the count
// of leftovers must see: else it would prove nothing later. The test holds it open: else
// the kernel may give its number to the next lab, of a test that runs beside this one.
func livingLab(t *testing.T, name string) string {
	t.Helper()
	namespace, pids := labOf(t, name)
	if namespace == "" {
		t.Fatalf("lab %s has no process, so nothing can be said to be gone later", name)
	}
	held, err := os.Open(filepath.Join("/proc", pids[len(pids)-1], "ns", "user"))
	if err != nil {
		t.Fatalf("lab %s ended while it was looked at: %v", name, err)
	}
	t.Cleanup(func() { _ = held.Close() })
	if said, none := leftovers(namespace); none {
		t.Fatalf("the count sees nothing of the living lab %s: %s", name, said)
	}
	return namespace
}

// wantGone waits until nothing of a lab is left.
func wantGone(t *testing.T, namespace, name string) {
	t.Helper()
	for end := time.Now().Add(goneWithin); ; {
		out, none := leftovers(namespace)
		_, pids := labOf(t, name)
		if none && len(pids) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left %v later: %v %s", goneWithin, pids, out)
		}
		time.Sleep(100 * time.Millisecond) // nobody tells that a foreign process has ended
	}
}

// wantNoLab waits until no lab has a folder but the shared one: whoever removes it
// does so when the processes are gone.
func wantNoLab(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(goneWithin); ; {
		left, err := filepath.Glob(filepath.Join(labs.folder, "tightrope-*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		left = slices.DeleteFunc(left, func(dir string) bool { return strings.HasPrefix(filepath.Base(dir), "cli-") })
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left %v later: %v", goneWithin, left)
		}
		time.Sleep(100 * time.Millisecond) // nobody tells that a foreign process has removed it
	}
}

func readReport(t *testing.T, folder string) *report.Report {
	t.Helper()
	for _, f := range report.Formats {
		if st, err := os.Stat(filepath.Join(folder, f.File)); err != nil || st.Size() == 0 {
			t.Errorf("report %s: %v", f.File, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := report.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// wantAborted wants a report that says that the run was taken back because
// somebody asked for it.
func wantAborted(t *testing.T, folder string) {
	t.Helper()
	rep := readReport(t, folder)
	if rep.Result != "RolledBack" || rep.Cause != "Aborted" {
		t.Errorf("result %s, cause %s: %s", rep.Result, rep.Cause, rep.Message)
	}
	if len(rep.Cuts) > 0 || len(rep.Paths) == 0 {
		t.Errorf("%d cuts in %d paths: %+v", len(rep.Cuts), len(rep.Paths), rep.Cuts)
	}
}

func TestCtrlCInACanaryTakesItBackAndLeavesNothing(t *testing.T) {
	needLab(t)
	reports := t.TempDir()
	p := start(t, "run", "zero-trust-ai-platform", "--report", reports)
	p.await(t, "setup     controller and CRDs")
	name := fmt.Sprintf("run-%d", p.cmd.Process.Pid)
	namespace := livingLab(t, name) // takes seconds, which a canary would not wait
	p.await(t, "Canary (few)")
	p.signal(t, syscall.SIGINT)
	if code := p.end(t); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	wantGone(t, namespace, name)
	wantNoLab(t)
	wantAborted(t, filepath.Join(reports, "zero-trust-ai-platform"))
	if !strings.Contains(p.stderr.String(), "taking back what this command has begun") {
		t.Errorf("nobody is told what happens now: %q", p.stderr)
	}
}

// On a cluster that stays, the baseline can be looked at afterwards.
func TestTermInACanaryPutsTheBaselineBack(t *testing.T) {
	inTestAll(t, "Ctrl-C ends a run the same way")
	config, reports := sharedLab(t), t.TempDir()
	p := start(t, "run", "zero-trust-ai-platform", "--cluster", "current", "--kubeconfig", config, "--report", reports)
	p.await(t, "Canary (few)")
	if len(policiesOf(t, config)) == 0 {
		t.Error("no policy is there in the middle of a canary, so nothing can be taken back")
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.end(t); code != exitTerminated {
		t.Errorf("exit code %d, want %d", code, exitTerminated)
	}
	wantAborted(t, filepath.Join(reports, "zero-trust-ai-platform"))
	wantBaseline(t, config)
}

func clientOf(t *testing.T, config string) *kubernetes.Clientset {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// takeAway deletes a policy that a rollout committed, for the tests that come after.
func takeAway(t *testing.T, config, namespace, name string) {
	t.Helper()
	if err := clientOf(t, config).NetworkingV1().NetworkPolicies(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("the committed policy: %v", err)
	}
}

// policiesOf names every policy of a cluster.
func policiesOf(t *testing.T, config string) (names []string) {
	t.Helper()
	list, err := clientOf(t, config).NetworkingV1().NetworkPolicies(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	return names
}

// wantBaseline wants a cluster as it was before any run: no policy and no pod
// that is enforced.
func wantBaseline(t *testing.T, config string) {
	t.Helper()
	for _, p := range policiesOf(t, config) {
		t.Errorf("policy %s is left", p)
	}
	pods, err := clientOf(t, config).CoreV1().Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if run := pod.Labels[v1alpha1.LabelEnforced]; run != "" {
			t.Errorf("pod %s/%s is still enforced by %s", pod.Namespace, pod.Name, run)
		}
	}
	if len(pods.Items) == 0 {
		t.Error("the cluster has no pods, so there is nothing to look at")
	}
}

func TestKillOfDemoLeavesNothing(t *testing.T) {
	needLab(t)
	for _, at := range []struct{ name, line string }{
		{"while its lab starts", "lab       "},
		{"while its platform starts", "setup     the platform"},
	} {
		t.Run(at.name, func(t *testing.T) {
			p := start(t, "demo", "--report", t.TempDir())
			name := fmt.Sprintf("run-%d", p.cmd.Process.Pid)
			p.await(t, at.line)
			namespace := livingLab(t, name)
			p.signal(t, syscall.SIGKILL)
			if code := p.end(t); code != -1 {
				t.Errorf("exit code %d: it ended before it was killed, so nothing was tested", code)
			}
			wantGone(t, namespace, name)
			wantNoLab(t)
		})
	}
}

// A second signal is somebody who cannot wait, and must not be told that the
// baseline is back. Even so nothing is left.
func TestASecondSignalStopsWaiting(t *testing.T) {
	needLab(t)
	p := start(t, "demo", "--report", t.TempDir())
	name := fmt.Sprintf("run-%d", p.cmd.Process.Pid)
	p.await(t, "lab       ")
	namespace := livingLab(t, name)
	p.signal(t, syscall.SIGINT)
	p.signal(t, syscall.SIGTERM)
	if code := p.end(t); code != exitRollback {
		t.Errorf("exit code %d, want %d", code, exitRollback)
	}
	if !strings.Contains(p.stderr.String(), "without verifying the rollback") {
		t.Errorf("it does not say that nothing was verified: %q", p.stderr)
	}
	wantGone(t, namespace, name)
	wantNoLab(t)
}
