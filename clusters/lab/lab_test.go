package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// patience bounds what takes seconds on a quiet machine.
const patience = 2 * time.Minute

// binaries returns the folder of the built binaries, and makes this test of the
// same build. It fails where no lab can be: a suite that skipped by itself would
// prove nothing.
func binaries(t *testing.T) string {
	t.Helper()
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so no lab is brought up")
	}
	bin := os.Getenv("TIGHTROPE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.FindLabd(filepath.Join(bin, "labd")); err != nil {
		t.Fatalf("labd in %s: %v; run `make build`, or set TIGHTROPE_SKIP_LAB=1 to run the other tests", bin, err)
	}
	return bin
}

// place gives a test its own folder for labs, so that labs of others do not count.
func place(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "labtest-") // short: a Unix socket's path must fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	t.Setenv("XDG_RUNTIME_DIR", "")
}

func TestALabdAloneSaysWhatIsMissing(t *testing.T) {
	bin := binaries(t)
	place(t)
	alone := filepath.Join(t.TempDir(), "labd")
	program, err := os.ReadFile(filepath.Join(bin, "labd"))
	if err == nil {
		err = os.WriteFile(alone, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	_, err = lab.Up(ctx, lab.Options{Name: "it", Labd: alone})
	if err == nil || !strings.Contains(err.Error(), "hyperkube") || !strings.Contains(err.Error(), "make labd") {
		t.Errorf("error %v, want what is missing and what to do", err)
	}
	cmd := exec.Command(alone, "kubectl", "version")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "make labd") {
		t.Errorf("labd kubectl: %v\n%s", err, out)
	}
}

// podProgram builds a program for pods, static as images are, from the folder of
// that path.
func podProgram(t *testing.T, path ...string) string {
	t.Helper()
	folder := filepath.Join(path...)
	program := filepath.Join(t.TempDir(), filepath.Base(folder))
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Dir = folder
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s for pods: %v\n%s", folder, err, out)
	}
	return program
}

func kubectl(t *testing.T, bin, kubeconfig, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "labd"), append([]string{"kubectl", "--kubeconfig", kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const lookupPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"look"},"spec":{"restartPolicy":"Never","containers":[
{"name":"c","image":"tightrope.dev/lab/tools:dev","args":["lookup","kubernetes.default","kube-dns.kube-system.svc.cluster.local"]}]}}`

func TestTwoNodesAndAServiceNameFromAPod(t *testing.T) {
	bin := binaries(t)
	place(t)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	var steps []string
	l, err := lab.Up(ctx, lab.Options{Name: "it", Nodes: 2, Labd: filepath.Join(bin, "labd"),
		Progress: func(s lab.Step) { steps = append(steps, s.String()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.Join(steps, "; "))
	user := userNamespace(t, "it")
	defer func() {
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, user)
	}()
	nodes := kubectl(t, bin, l.Kubeconfig(), "", "get", "nodes", "--no-headers")
	if strings.Count(nodes, " Ready ") != 2 {
		t.Errorf("want two Ready nodes:\n%s", nodes)
	}
	kubectl(t, bin, l.Kubeconfig(), "", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
	kubectl(t, bin, l.Kubeconfig(), lookupPod, "apply", "-f", "-")
	kubectl(t, bin, l.Kubeconfig(), "", "wait", "pod/look", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
	want := "kubernetes.default 10.96.0.1\nkube-dns.kube-system.svc.cluster.local 10.96.0.10\n"
	if got := kubectl(t, bin, l.Kubeconfig(), "", "logs", "look"); got != want {
		t.Errorf("the pod looked up\n%swant\n%s", got, want)
	}
	if _, err := lab.Up(ctx, lab.Options{Name: "it", Labd: filepath.Join(bin, "labd")}); err == nil || !strings.Contains(err.Error(), "already up") {
		t.Errorf("a second lab of that name: %v", err)
	}
}

func TestADetachedLabOutlivesItsStarterAndEndsOnDown(t *testing.T) {
	bin := binaries(t)
	place(t)
	out, err := exec.Command(filepath.Join(bin, "tightrope"), "lab", "up", "--name", "det", "--nodes", "0").CombinedOutput()
	if err != nil {
		t.Fatalf("lab up: %v\n%s", err, out)
	}
	user := userNamespace(t, "det")
	s, err := lab.Find("det")
	if err != nil {
		t.Fatal(err)
	}
	if got := kubectl(t, bin, s.Kubeconfig, "", "get", "--raw", "/readyz"); got != "ok" {
		t.Errorf("/readyz = %q", got)
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := lab.Down(ctx, "det"); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, user)
}

// TestAKilledOwnerLeavesNothing kills with SIGKILL, which nobody can handle: the
// starter while the lab starts, the starter that holds a lab in the foreground,
// and the warden itself.
func TestAKilledOwnerLeavesNothing(t *testing.T) {
	bin := binaries(t)
	for _, tt := range []struct {
		name  string
		until string // the line of `lab up` after which to kill
		args  []string
		pid   func(t *testing.T, starter int) int
	}{
		{"starting", "etcd serves", nil, func(_ *testing.T, starter int) int { return starter }},
		{"foreground", "Ctrl-C ends it", []string{"--foreground"}, func(_ *testing.T, starter int) int { return starter }},
		{"warden", "Ctrl-C ends it", []string{"--foreground"}, wardenOf},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place(t)
			args := append([]string{"lab", "up", "--name", tt.name, "--nodes", "1"}, tt.args...)
			cmd := exec.Command(filepath.Join(bin, "tightrope"), args...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitForLine(t, out, tt.until)
			user := userNamespace(t, tt.name)
			if err := syscall.Kill(tt.pid(t, cmd.Process.Pid), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			eventually(t, func() bool { return nothingLeft(t, user) == "" })
			lab.Sweep() // what `lab` commands begin with: a killed warden could not remove its directory
			wantNothingLeft(t, user)
		})
	}
}

func waitForLine(t *testing.T, r io.Reader, part string) {
	t.Helper()
	var seen strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fmt.Fprintln(&seen, lines.Text())
		if strings.Contains(lines.Text(), part) {
			return
		}
	}
	t.Fatalf("no line with %q in:\n%s", part, seen.String())
}

// processes returns those whose arguments contain every part.
func processes(parts ...string) []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []string
next:
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(string(b), part) {
				continue next
			}
		}
		found = append(found, dir)
	}
	return found
}

// userNamespace is what every process of a lab shares and nobody else has. The test holds
// it open: else the kernel may give its number to the next lab, of a test that runs beside
// this one.
func userNamespace(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range processes("labd\x00init\x00", `"name":"`+name+`"`, os.Getenv("TMPDIR")) {
		held, err := os.Open(filepath.Join(dir, "ns/user"))
		if err != nil {
			continue // it has ended since
		}
		t.Cleanup(func() { _ = held.Close() })
		if ns, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", held.Fd())); err == nil {
			return ns
		}
	}
	t.Fatalf("no process 1 of lab %q found", name)
	return ""
}

func wardenOf(t *testing.T, _ int) int {
	t.Helper()
	for _, dir := range processes("labd\x00up\x00", os.Getenv("TMPDIR")) {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "%d", &pid); err == nil {
			return pid
		}
	}
	t.Fatal("no warden found")
	return 0
}

// nothingLeft is empty when no process is in the user namespace, and else says
// who is. The kernel ends a namespace's processes one after the other.
func nothingLeft(t *testing.T, user string) string {
	t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if ns, err := os.Readlink(filepath.Join(dir, "ns/user")); err == nil && ns == user {
			return dir
		}
	}
	if left := processes("labd\x00up\x00", os.Getenv("TMPDIR")); len(left) > 0 {
		return left[0]
	}
	return ""
}

// wantNothingLeft asks the script that people use.
func wantNothingLeft(t *testing.T, user string) {
	t.Helper()
	out, err := exec.Command("../../hack/lab-leftovers.sh", user).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "processes 0 namespaces 0 mounts 0 directories 0") {
		t.Errorf("leftovers: %v\n%s", err, out)
	}
}

// eventually polls: the kernel announces the end of other people's processes to nobody.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not so after 20 s")
		}
	}
}
