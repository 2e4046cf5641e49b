package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tightrope-dev/tightrope/clusters/kind"
	"github.com/tightrope-dev/tightrope/deploy/apply"
	"github.com/tightrope-dev/tightrope/deploy/images"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// What `make e2e-kind` is told.
const (
	kindEnv         = "TIGHTROPE_KIND_IMAGE"    // a node image that is there; default: kind's own, which is pulled
	kindConfigEnv   = "TIGHTROPE_KIND_CONFIG"   // a configuration file, or empty
	kindEnforcesEnv = "TIGHTROPE_KIND_ENFORCES" // whether the network plugin enforces policies, true or false; empty: doctor says it, and all else must agree
	kindReportEnv   = "TIGHTROPE_KIND_REPORT"   // folder that gets the reports, or empty
)

// notEnforced is what is said of a cluster on which nothing can be proved.
const notEnforced = "this cluster does not enforce NetworkPolicy"

// kindArgs choose a kind cluster of the test's own.
func kindArgs(t *testing.T, args ...string) []string {
	t.Helper()
	image := os.Getenv(kindEnv)
	if image == "" {
		t.Skipf("%s names no node image: make e2e-kind needs Docker and one", kindEnv)
	}
	args = append(args, "--cluster", "kind", "--image-layout", kindLayout(t))
	if image != "default" {
		args = append(args, "--kind-image", image)
	}
	if config := os.Getenv(kindConfigEnv); config != "" {
		args = append(args, "--kind-config", config)
	}
	return args
}

func kindLayout(t *testing.T) string {
	t.Helper()
	return filepath.Join(filepath.Dir(binary(t, "tightrope")), "images")
}

// kindPatience bounds how long a cluster may take to come to a line, beside others.
const kindPatience = 10 * time.Minute

// onKind runs the built program, and fails if its process leaves a cluster.
func onKind(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(binary(t, "tightrope"), args...)
	raw, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	nothingLeft(t, cmd.Process.Pid)
	return cmd.ProcessState.ExitCode(), string(raw)
}

// nothingLeft is that neither the cluster of a process is there, nor a folder with
// credentials of it.
func nothingLeft(t *testing.T, pid int) {
	t.Helper()
	if leaves(t, pid) {
		t.Errorf("left: tightrope-%d", pid)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("tightrope-kind-%d-*", pid))); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// leaves reports whether the cluster of a process is there.
func leaves(t *testing.T, pid int) bool {
	t.Helper()
	names, err := kind.Names()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(names, fmt.Sprintf("tightrope-%d", pid))
}

// kindReports is where a scenario's reports go.
func kindReports(t *testing.T) string {
	t.Helper()
	if folder := os.Getenv(kindReportEnv); folder != "" {
		return folder
	}
	return t.TempDir()
}

// Where the network plugin enforces, every scenario ends as it expects. Where it does
// not, nothing is proved, whatever packets do. Nothing of the cluster is left.
func TestKindRunsTheLibrary(t *testing.T) {
	enforces := os.Getenv(kindEnforcesEnv)
	names := []string{"gw-forgot-dns"}
	if enforces == "true" {
		names = scenarios.Library()
	}
	reports := kindReports(t)
	code, out := onKind(t, kindArgs(t, append(append([]string{"run"}, names...), "--report", reports)...)...)
	t.Log(out)
	for _, name := range names {
		rep := readReport(t, filepath.Join(reports, name))
		fits, why := rep.Verdict()
		says := rep.Result == "Inconclusive" && strings.Contains(rep.Message, notEnforced)
		t.Logf("%s: %s", name, report.Headline(rep))
		if enforces == "true" && !fits || enforces == "false" && !says || !fits && !says {
			t.Errorf("%s: result %s: %s; %s", name, rep.Result, report.Headline(rep), why)
		}
		if says && code != exitInconclusive {
			t.Errorf("exit code %d, want %d", code, exitInconclusive)
		}
	}
	if enforces == "true" && code != exitOK || enforces == "false" && code != exitInconclusive {
		t.Errorf("exit code %d", code)
	}
}

// keptKind makes a cluster that stays until the test ends, with our images on its nodes
// as `kind load image-archive` puts them there, and returns the flags that reach it.
func keptKind(t *testing.T) []string {
	t.Helper()
	_ = kindArgs(t)
	layout, err := images.Open(kindLayout(t))
	if err != nil {
		t.Fatal(err)
	}
	o := kind.Options{Image: os.Getenv(kindEnv), Config: os.Getenv(kindConfigEnv), Progress: func(line string) { t.Log(line) }}
	if o.Image == "default" {
		o.Image = ""
	}
	o.Archive = func(string) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(layout.Save(w, theirRegistry+"/tightrope")) }() // ends when the reader is closed
		return r, nil
	}
	c, err := kind.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shut(t.Context(), c); err != nil {
			t.Error(err)
		}
		nothingLeft(t, os.Getpid())
	})
	return []string{"--kubeconfig", c.Kubeconfig(), "--registry", theirRegistry + "/tightrope", "--image-layout", kindLayout(t)}
}

// enforcing is what doctor says of the cluster, and fails where that is not what the
// person who runs this knows.
func enforcing(t *testing.T, on []string) bool {
	t.Helper()
	began := time.Now()
	code, out := onKind(t, append([]string{"doctor", "--cluster", "current"}, on...)...)
	took := time.Since(began)
	t.Log(out)
	yes, no := strings.Contains(out, ": this cluster enforces NetworkPolicy on every node"), strings.Contains(out, notEnforced)
	if took > time.Minute || yes == no || (code == exitOK) != yes || !yes && code != exitInconclusive {
		t.Fatalf("exit code %d after %v", code, took)
	}
	if known := os.Getenv(kindEnforcesEnv); known != "" && known != fmt.Sprint(yes) {
		t.Errorf("it enforces: %v, and that is known to be %s", yes, known)
	}
	return yes
}

// The whole way on a cluster of somebody else's making: doctor, verify, install, a
// rollout, and nothing left. Where policies are not enforced nothing ever passes.
func TestKindAllTheWay(t *testing.T) {
	on := keptKind(t)
	enforces := enforcing(t, on)
	pushed, err := pushed(kindLayout(t), theirRegistry+"/tightrope")
	if err != nil {
		t.Fatal(err)
	}
	proved := map[bool]int{true: exitOK, false: exitInconclusive}[enforces]

	chart := writeShop(t, "shop", "8080", "[{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]")
	inFiles(t, filepath.Dir(chart[1]), "tightrope.dev/twin", pushed["twin"])
	out := t.TempDir()
	code, said := onKind(t, slices.Concat([]string{"verify", "--cluster", "current", "--report", out}, chart, on)...)
	if rep := readReport(t, out); code != proved || strings.Contains(rep.Message, notEnforced) == enforces {
		t.Errorf("verify: exit code %d, want %d; %s: %s", code, proved, report.Headline(rep), said)
	}

	r := newRunner(t, map[string]string{"binary": binary(t, "tightrope"), "suite": chart[1], "cluster": "current", "arguments": strings.Join(on, "\n")})
	if code, said, _ := r.runs(t, "get"); code != exitOK {
		t.Fatalf("the action: exit code %d: %s", code, said)
	}
	if code, said, summary := r.runs(t, "verify"); code != proved || strings.Contains(summary, notEnforced) == enforces || !strings.Contains(summary, "\n## ") {
		t.Errorf("the action: exit code %d, want %d: %s\n%s", code, proved, said, summary)
	}

	if code, said := onKind(t, slices.Concat([]string{"install", "--single-tenant"}, on)...); code != exitOK {
		t.Fatalf("install: exit code %d: %s", code, said)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../docs/example/shop")); err != nil {
		t.Fatal(err)
	}
	inFiles(t, folder, "image: standin", "image: "+pushed["standin"])
	inFiles(t, folder, "minDuration: 1h", "minDuration: 5s")
	applyFile(t, on[1], filepath.Join(folder, "app.yaml"))
	code, said = onKind(t, "rollout", "apply", "-f", filepath.Join(folder, "suite.yaml"), "-f", filepath.Join(folder, "rollout.yaml"), "--wait", "--timeout", "5m", "--report", out, "--kubeconfig", on[1])
	if code != proved || strings.Contains(said, notEnforced) == enforces {
		t.Errorf("rollout apply --wait: exit code %d, want %d: %s", code, proved, said)
	}
	if code, said := onKind(t, "uninstall", "--kubeconfig", on[1]); code != exitOK {
		t.Errorf("uninstall: exit code %d: %s", code, said)
	}
	if _, said := onKind(t, append([]string{"doctor", "--cluster", "current"}, on...)...); !strings.Contains(said, "leftovers: ") || strings.Contains(said, "✕ leftovers") {
		t.Errorf("left: %s", said)
	}
}

// inFiles replaces text in the files of a folder and of the folders in it.
func inFiles(t *testing.T, folder, old, new string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.WriteFile(name, []byte(strings.ReplaceAll(read(t, name), old, new)), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// applyFile applies manifests as verify --apply does, which waits until they run.
func applyFile(t *testing.T, kubeconfig, file string) {
	t.Helper()
	objects, err := apply.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	log.SetLogger(logr.Discard()) // as the command does
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := apply.Apply(t.Context(), config, objects, apply.Options{Progress: func(line string) { t.Log(line) }}); err != nil {
		t.Fatal(err)
	}
}

// startKind runs gw-forgot-dns on kind up to a line that has the text.
func startKind(t *testing.T, at string) *process {
	t.Helper()
	p := start(t, kindArgs(t, "run", "gw-forgot-dns", "--report", t.TempDir())...)
	t.Cleanup(func() { // before the process is killed, which leaves its cluster
		if p.cmd.ProcessState == nil {
			p.signal(t, syscall.SIGTERM)
			p.end(t)
		}
	})
	p.awaitWithin(t, at, kindPatience)
	return p
}

// Whoever interrupts it leaves nothing, whatever it was doing.
func TestAnInterruptedKindRunLeavesNothing(t *testing.T) {
	for _, at := range []string{"Preparing nodes", "Starting control-plane", "loading images", "in preflight"} {
		t.Run(at, func(t *testing.T) {
			p := startKind(t, at)
			p.signal(t, syscall.SIGINT)
			began := time.Now()
			if code := p.end(t); code != exitInterrupted {
				t.Errorf("exit code %d, want %d", code, exitInterrupted)
			}
			t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
			nothingLeft(t, p.cmd.Process.Pid)
		})
	}
}

// Nobody cleans up after kill -9. The next run names what is left, and what removes it.
func TestAKilledKindRunIsNamedByTheNext(t *testing.T) {
	p := startKind(t, "Starting control-plane")
	p.signal(t, syscall.SIGKILL)
	p.end(t)
	pid := p.cmd.Process.Pid
	if !leaves(t, pid) {
		t.Fatal("nothing is left that could be named")
	}
	next := append(kindArgs(t, "run", "gw-forgot-dns", "--report", t.TempDir()), "--kind-image", "localhost/no-such:image")
	code, out := onKind(t, next...)
	const says = "is left of a run that was killed, or that kept it; delete it with: "
	_, line, found := strings.Cut(out, fmt.Sprintf("kind cluster tightrope-%d %s", pid, says))
	if code != exitInconclusive || !found {
		t.Errorf("exit code %d, and the cluster is not named: %s", code, out)
	}
	line, _, _ = strings.Cut(line, "\n")
	if _, without, cannot := strings.Cut(line, "(without the kind command: "); cannot {
		line = strings.TrimSuffix(without, ")")
	}
	if said, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil || leaves(t, pid) {
		t.Errorf("%s: %v: %s", line, err, said)
	}
	if code, out := onKind(t, next...); code != exitInconclusive || strings.Contains(out, fmt.Sprintf("tightrope-%d ", pid)) {
		t.Errorf("exit code %d: %s", code, out)
	}
	nothingLeft(t, pid)
}

// Without anything to run containers with, kind is refused in a sentence.
func TestKindWithoutDockerIsRefused(t *testing.T) {
	layout := smallImages(t)
	t.Setenv("PATH", t.TempDir())
	wantRefused(t, []string{"run", "gw-forgot-dns", "--cluster", "kind", "--image-layout", layout, "--report", t.TempDir()}, []string{"kind is not usable here", "Docker, Podman or nerdctl"})
}
