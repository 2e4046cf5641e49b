package cri

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

func TestACommandRunsWhereItsContainerDoes(t *testing.T) {
	l := newLab(t)
	id := l.start(l.runPod(), "deaf")
	out, errOut, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/proc/1/comm", "/", "/dev"}, 0)
	if err != nil || len(errOut) > 0 {
		t.Fatalf("%v, %s", err, errOut)
	}
	for _, want := range []string{"host p dir /", "home /root", `/proc/1/comm = "probe\n"`, "/ : bin dev etc probe proc"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestACommandsEnd(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	id := l.start(pod, "deaf")
	ended := l.start(pod)
	l.ended(ended)
	_, errOut, err := l.ExecSync(t.Context(), id, []string{"/probe", "exit", "7"}, 0)
	if exit, ok := errors.AsType[utilexec.ExitError](err); !ok || exit.ExitStatus() != 7 || string(errOut) != "leaving with 7\n" {
		t.Errorf("exit 7: %v, %q", err, errOut)
	}
	if _, _, err = l.ExecSync(t.Context(), id, []string{"/probe", "deaf"}, 300*time.Millisecond); !errors.Is(err, remote.ErrCommandTimedOut) {
		t.Errorf("timeout: %v", err)
	}
	begun := time.Now()
	out, _, err := l.ExecSync(t.Context(), id, []string{"/probe", "leave"}, 0)
	if err != nil || !strings.Contains(string(out), "left: <nil>") || time.Since(begun) < drainTime {
		t.Errorf("somebody left behind: %v, %q after %v", err, out, time.Since(begun))
	}
	for want, call := range map[string]func() error{
		"no shell":     func() error { return l.exec(t.Context(), id, command{argv: []string{"sh"}}) },
		"does not run": func() error { return l.exec(t.Context(), ended, command{argv: []string{"probe"}}) },
		"not known":    func() error { return l.exec(t.Context(), "other", command{argv: []string{"probe"}}) },
		"empty":        func() error { return l.exec(t.Context(), id, command{}) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// slow takes its time with what comes first.
type slow struct{ text bytes.Buffer }

func (s *slow) Write(b []byte) (int, error) {
	if s.text.Len() == 0 {
		time.Sleep(drainTime + drainTime/4)
	}
	return s.text.Write(b)
}

// A command's output waits for whoever reads it, also when the command has ended.
func TestNoOutputIsLostToASlowReader(t *testing.T) {
	l := newLab(t)
	id := l.start(l.runPod(), "deaf")
	want := strings.Repeat("0123456789", 9_000)
	var got slow
	if err := l.exec(t.Context(), id, command{argv: []string{"probe", "echo", want}, stdout: &got}); err != nil || got.text.String() != want+"\n" {
		t.Errorf("%v, %d bytes of %d", err, got.text.Len(), len(want)+1)
	}
}

func TestManyCommandsAtOnce(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	ids := []string{l.start(pod, "deaf"), l.start(pod, "deaf"), l.start(pod, "deaf")}
	begun := time.Now()
	var all sync.WaitGroup
	const commands = 150
	for i := range commands {
		all.Go(func() {
			want := fmt.Sprint("line ", i)
			out, _, err := l.ExecSync(t.Context(), ids[i%3], []string{"probe", "echo", want}, time.Minute)
			if err != nil || string(out) != want+"\n" {
				t.Errorf("%q, %v; want %q", out, err, want)
			}
		})
	}
	all.Wait()
	t.Logf("%v per command", time.Since(begun)/commands)
}

// client speaks to the streaming server as the kubelet's proxy does.
func (l *lab) executors(address string) map[string]remotecommand.Executor {
	l.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		l.t.Fatal(err)
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
	if err != nil {
		l.t.Fatal(err)
	}
	overWebSocket, err := remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{}, "GET", address, "v4.channel.k8s.io")
	if err != nil {
		l.t.Fatal(err)
	}
	return map[string]remotecommand.Executor{"SPDY": overSPDY, "WebSocket": overWebSocket}
}

func TestExecStreams(t *testing.T) {
	l := newLab(t)
	id := l.start(l.runPod(), "deaf")
	for _, protocol := range []string{"SPDY", "WebSocket"} {
		stream := func(o remotecommand.StreamOptions, argv ...string) error {
			res, err := l.Exec(t.Context(), &runtimeapi.ExecRequest{ContainerId: id, Cmd: append([]string{"probe"}, argv...),
				Stdin: o.Stdin != nil, Stdout: true, Stderr: o.Stderr != nil, Tty: o.Tty})
			if err != nil {
				t.Fatal(err)
			}
			return l.executors(res.Url)[protocol].StreamWithContext(t.Context(), o)
		}
		if protocol == "SPDY" { // version 4 of the WebSocket protocol cannot say that its input has ended
			var out, errOut bytes.Buffer
			text := strings.Repeat("0123456789", 100_000)
			if err := stream(remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &out, Stderr: &errOut}, "cat"); err != nil ||
				out.String() != text || errOut.String() != "1000000 bytes <nil>\n" {
				t.Errorf("%s: %v, %d bytes, %q", protocol, err, out.Len(), errOut.String())
			}
		}
		var out, errOut bytes.Buffer
		err := stream(remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}, "exit", "3")
		if exit, ok := errors.AsType[utilexec.ExitError](err); !ok || exit.ExitStatus() != 3 {
			t.Errorf("%s: exit 3 gave %v", protocol, err)
		}
		typed, printed := newConsole(t)
		sizes := make(sizeQueue, 1)
		sizes <- remotecommand.TerminalSize{Width: 120, Height: 40}
		done := make(chan error, 1)
		go func() {
			done <- stream(remotecommand.StreamOptions{Stdin: typed.r, Stdout: printed, Tty: true, TerminalSizeQueue: sizes}, "screen")
		}()
		typed.until(printed, "a\n", "got a at 120 x 40 errno 0")
		typed.until(printed, "bye\n", "")
		if err := <-done; err != nil {
			t.Errorf("%s: terminal: %v", protocol, err)
		}
	}
}

type sizeQueue chan remotecommand.TerminalSize

func (q sizeQueue) Next() *remotecommand.TerminalSize {
	if s, ok := <-q; ok {
		return &s
	}
	return nil
}

// keyboard types into a client's input.
type keyboard struct {
	t *testing.T
	r *os.File
	w *os.File
}

// display holds what a client has printed, and tells of every change.
type display struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

func (d *display) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text.Write(b)
	select {
	case d.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (d *display) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func newConsole(t *testing.T) (keyboard, *display) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return keyboard{t, r, w}, &display{news: make(chan struct{}, 1)}
}

// until types again and again (a window's size may come later than what is typed)
// until the display has want.
func (k keyboard) until(d *display, typed, want string) {
	k.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if _, err := k.w.WriteString(typed); err != nil || want == "" {
			return
		}
		select {
		case <-d.news:
		case <-deadline:
			k.t.Fatalf("no %q in %q", want, d.String())
		}
		if strings.Contains(d.String(), want) {
			return
		}
	}
}

func TestAttachingToAContainer(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	for _, tty := range []bool{true, false} {
		id, err := l.CreateContainer(t.Context(), pod, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
			Image: &runtimeapi.ImageSpec{Image: "x.dev/probe"}, Args: []string{"screen"}, LogPath: "c.log", Stdin: true, StdinOnce: true, Tty: tty}, l.pod)
		if err == nil {
			err = l.StartContainer(t.Context(), id)
		}
		if err != nil {
			t.Fatal(err)
		}
		res, err := l.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Tty: tty})
		if err != nil {
			t.Fatal(err)
		}
		typed, printed := newConsole(t)
		done := make(chan error, 1)
		go func() {
			done <- l.executors(res.Url)["SPDY"].StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: typed.r, Stdout: printed, Tty: tty})
		}()
		typed.until(printed, "hello\n", "got hello at 0 x 0")
		if tty {
			typed.until(printed, "bye\n", "")
		} else {
			typed.w.Close() // the container's input ends with the only client's
		}
		if err := <-done; err != nil {
			t.Errorf("tty %v: %v", tty, err)
		}
		if st := l.ended(id); st.ExitCode != 0 {
			t.Errorf("tty %v: %v", tty, st)
		}
		l.says("stdout F got hello at 0 x 0")
	}
}

func TestPortsAreForwarded(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	l.start(pod, "serve", "127.0.0.1:8080")
	l.says("serving")
	res, err := l.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: pod, Port: []int32{8080, 8081}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(res.Url)
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u)
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.New(dialer, []string{"0:8080", "0:8081"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	<-ready
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	if got := askAt(t, ports[0].Local); got != "hello" {
		t.Errorf("port 8080 echoed %q", got)
	}
	if got := askAt(t, ports[1].Local); got != "" {
		t.Errorf("port 8081, where nobody listens, answered %q", got)
	}
	close(stop)
	if err := <-done; err != nil && !errors.Is(err, portforward.ErrLostConnectionToPod) {
		t.Error(err)
	}
	if err := l.forward(t.Context(), pod, 8081, nil); err == nil || !strings.Contains(err.Error(), "port 8081 of pod p") {
		t.Errorf("forward: %v", err)
	}
}

// askAt says hello at a local port and returns all that comes back.
func askAt(t *testing.T, port uint16) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "hello")
	_ = conn.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(conn)
	return string(b)
}
