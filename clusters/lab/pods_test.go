package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// podLab is a test's part of a lab: a namespace. The program of the image test/probe
// does what its first argument says.
type podLab struct {
	t                          *testing.T
	bin, kubeconfig, namespace string
	probe                      string // where the program of test/probe is
}

// TestPods is one lab, where each test has a namespace of its own: a lab takes longer
// to come up than most of them. They wait much and measure nothing, so two run at once.
func TestPods(t *testing.T) {
	l := upForPods(t)
	for _, test := range []struct {
		name string
		run  func(*podLab)
	}{
		{"ControllersRunTheirPods", controllersRunTheirPods}, // waits for a full minute: first
		{"Lifecycles", podLifecycles},
		{"KubectlReachesIntoPods", kubectlReachesIntoPods},
		{"NoPodChangesTheMachine", noPodChangesTheMachine},
		{"RealRedis", realRedis},
		{"RealPostgreSQL", realPostgreSQL},
		{"RealPrometheus", realPrometheus},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(l.in(t, strings.ToLower(test.name)))
		})
	}
}

// in is the lab for one test.
func (l podLab) in(t *testing.T, namespace string) *podLab {
	t.Helper()
	l.t, l.namespace = t, namespace
	l.kubectl("", "create", "namespace", namespace)
	l.kubectl("", "wait", "--for=create", "serviceaccount/default", "--timeout=60s") // pods are refused without
	return &l
}

// upForPods brings up a lab of two nodes that ends with the test. Of this machine's
// programs it has those that are there.
func upForPods(t *testing.T) *podLab {
	t.Helper()
	bin := binaries(t)
	place(t)
	probe := podProgram(t, "..", "labd", "container", "testdata", "probe")
	all := map[string]string{"test/probe": probe, "machine/sh": "/bin/sh"}
	for name, pattern := range map[string]string{"redis": redisServer, "postgres": postgresServer, "prometheus": prometheusServer} {
		if path := newest(t, pattern); path != "" {
			all[name] = path
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	l, err := lab.Up(ctx, lab.Options{Name: "pods", Nodes: 2, Labd: filepath.Join(bin, "labd"), Images: all})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	return &podLab{t: t, bin: bin, kubeconfig: l.Kubeconfig(), probe: probe}
}

// kubectl fails the test when the command does.
func (l *podLab) kubectl(stdin string, args ...string) string {
	l.t.Helper()
	return kubectl(l.t, l.bin, l.kubeconfig, stdin, append([]string{"--namespace", l.namespace}, args...)...)
}

// try returns what the command said and its exit code.
func (l *podLab) try(args ...string) (said string, code int) {
	l.t.Helper()
	cmd := l.command(args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		l.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (l *podLab) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(l.bin, "labd"), append([]string{"kubectl", "--kubeconfig", l.kubeconfig, "--namespace", l.namespace}, args...)...)
}

// pod creates a pod from its spec, and waits until it is Ready.
func (l *podLab) pod(name, spec string) {
	l.t.Helper()
	l.kubectl(fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: %s}}\nspec:\n%s", name, name, indented(spec)), "apply", "-f", "-")
	if said, code := l.try("wait", "pod/"+name, "--for=condition=Ready", "--timeout=60s"); code != 0 {
		l.t.Fatalf("pod %s: %s\n%s", name, said, l.kubectl("", "describe", "pod", name))
	}
}

func indented(spec string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"
}

func kubectlReachesIntoPods(l *podLab) {
	t := l.t
	l.pod("a", `{containers: [{name: c, image: test/probe, args: [deaf], stdin: true, stdinOnce: true}]}`)
	l.pod("s", `{containers: [{name: c, image: test/probe, args: [serve, "127.0.0.1:8080"]}]}`)
	l.pod("r", `{containers: [{name: c, image: test/probe, args: [screen], stdin: true, stdinOnce: true}]}`)

	if said, code := l.try("exec", "a", "--", "probe", "exit", "7"); code != 7 || !strings.Contains(said, "leaving with 7") {
		t.Errorf("exit code %d, %s", code, said)
	}
	text := strings.Repeat("0123456789\n", 50_000)
	cat := l.command("exec", "-i", "a", "--", "probe", "cat")
	cat.Stdin = strings.NewReader(text)
	if got, err := cat.Output(); err != nil || string(got) != text {
		t.Errorf("%d bytes of %d came back through cat: %v", len(got), len(text), err)
	}
	if said, code := l.try("exec", "a", "--", "sh", "-c", "true"); code == 0 || !strings.Contains(said, "no shell") {
		t.Errorf("a shell that is not there: %d, %s", code, said)
	}
	begun := time.Now()
	for range 5 {
		l.kubectl("", "exec", "a", "--", "probe", "echo", "x")
	}
	t.Logf("kubectl exec: %v each, kubectl's own start included", time.Since(begun)/5)

	attached := l.command("attach", "-i", "r")
	attached.Stdin = strings.NewReader("hello\nbye\n")
	if out, err := attached.CombinedOutput(); err != nil || !strings.Contains(string(out), "got hello at 0 x 0") {
		t.Errorf("attach: %v, %s", err, out)
	}
	l.forwards("pod/s", "8080")
}

// forwards asks through a forwarded port, and expects its words back.
func (l *podLab) forwards(target, port string) {
	l.t.Helper()
	cmd := l.command("port-forward", target, ":"+port)
	out, err := cmd.StdoutPipe()
	var said bytes.Buffer
	cmd.Stderr = &said
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var local int
	if _, err := fmt.Fscanf(out, "Forwarding from 127.0.0.1:%d", &local); err != nil {
		l.t.Fatalf("port-forward: %v, %s", err, said.String())
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", local))
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "through the kubelet")
	_ = conn.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(conn); err != nil || string(b) != "through the kubelet" {
		l.t.Errorf("port-forward: %q, %v", b, err)
	}
}
