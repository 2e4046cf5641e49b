package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// patience bounds what takes tens of seconds on a quiet machine.
const patience = 3 * time.Minute

// labs are what the tests of this package share: one lab, and one folder that
// every lab of theirs lives in, so that those of others do not count.
var labs struct {
	folder string
	bring  sync.Once
	shared *lab.Lab
	err    error
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "cli-") // short: a Unix socket's path must fit
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	labs.folder = folder
	os.Setenv("TMPDIR", folder)
	os.Unsetenv("XDG_RUNTIME_DIR")
	code := m.Run()
	if labs.shared != nil {
		ctx, stop := context.WithTimeout(context.Background(), downDeadline)
		if err := labs.shared.Down(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		stop()
	}
	os.RemoveAll(folder)
	os.Exit(code)
}

// binary is the path of a program that `make build` made.
func binary(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("TIGHTROPE_BIN")
	if folder == "" {
		folder = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v; run `make build` first", err)
	}
	return path
}

// needLab skips only when told to: where labs are forbidden, a suite that
// skipped by itself would prove nothing.
func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so no lab is brought up")
	}
	if testing.Short() {
		t.Skip("-short: no lab is brought up")
	}
}

// kubectlOn runs kubectl on a cluster, with text for its standard input.
func kubectlOn(t *testing.T, kubeconfig, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary(t, "labd"), append([]string{"kubectl", "--kubeconfig", kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// inTestAll leaves a test to make test-all, because of what it takes beside what
// others show already.
func inTestAll(t *testing.T, because string) {
	t.Helper()
	if os.Getenv("TIGHTROPE_TEST_ALL") == "" {
		t.Skipf("TIGHTROPE_TEST_ALL is not set: %s", because)
	}
}

// sharedLab is the kubeconfig of the package's lab. It ends with this process,
// however that ends.
func sharedLab(t *testing.T) string {
	t.Helper()
	needLab(t)
	labd := binary(t, "labd")
	labs.bring.Do(func() {
		// A test binary has no stamp. Some tests run the built program on the same lab,
		// and what one version has installed another one does not use.
		if out, err := exec.Command(labd, "stamp").Output(); err == nil {
			lab.Stamp = strings.TrimSpace(string(out))
		}
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		labs.shared, labs.err = lab.Up(ctx, lab.Options{Name: fmt.Sprintf("cli-%d", os.Getpid()), Nodes: 2, Labd: labd})
	})
	if labs.err != nil {
		t.Fatalf("%v; to run the other tests without a lab, set TIGHTROPE_SKIP_LAB=1", labs.err)
	}
	return labs.shared.Kubeconfig()
}

// process is the built tightrope at work.
type process struct {
	cmd    *exec.Cmd
	lines  chan string // of stdout; closed at its end
	stderr *strings.Builder
	stdout strings.Builder
}

// start runs the built tightrope in a folder of its own.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary(t, "tightrope"), args...), lines: make(chan string, 4096), stderr: &strings.Builder{}}
	p.cmd.Dir, p.cmd.Stderr = t.TempDir(), p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				_, _ = io.Copy(io.Discard, in)
				return
			}
			p.lines <- line
		}
	}()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", p.stdout.String(), p.stderr)
		}
	})
	return p
}

// await reads stdout up to a line that has the text.
func (p *process) await(t *testing.T, text string) {
	t.Helper()
	p.awaitWithin(t, text, patience)
}

func (p *process) awaitWithin(t *testing.T, text string, within time.Duration) {
	t.Helper()
	late := time.After(within)
	for {
		select {
		case line, more := <-p.lines:
			p.stdout.WriteString(line)
			switch {
			case !more:
				t.Fatalf("it ended without a line that has %q; where labs are forbidden, set TIGHTROPE_SKIP_LAB=1 to run the other tests", text)
			case strings.Contains(line, text):
				return
			}
		case <-late:
			t.Fatalf("no line had %q within %v", text, within)
		}
	}
}

// end reads the rest of stdout and returns the exit code; -1 after a signal
// that killed.
func (p *process) end(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for line := range p.lines {
		p.stdout.WriteString(line)
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
