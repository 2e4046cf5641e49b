package warden

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// detachByte on the lifeline means: stay, also when the writer goes.
const detachByte = 'd'

// Up is `labd up`: it runs a lab until its owner dies, a signal or a "down" on
// the control socket asks it to end, or the lab itself dies. It returns the
// process's exit code. Nothing of the lab is left when it returns. The stamp is
// that of this build.
func Up(args []string, stamp string) int {
	runtime.LockOSThread() // process 1 dies with the thread that started it (Pdeathsig)
	signal.Ignore(syscall.SIGPIPE)
	report := NewReporter(os.Stdout)
	cfg, err := parseConfig(args)
	if err == nil {
		err = cfg.findHyperkube()
	}
	if err != nil {
		report.Fail("usage", err)
		return 4
	}
	cfg.Stamp = stamp
	dir, err := claim(cfg.Dir)
	if err != nil {
		report.Fail("usage", fmt.Errorf("lab %q: %w", cfg.Name, err))
		return 4
	}
	w := &warden{cfg: cfg, dir: dir, report: report, stop: make(chan string, 8)}
	err = w.run()
	switch {
	case err == nil:
		dir.remove()
		return 0
	case w.detached.Load():
		dir.leave(err)
	default:
		dir.remove()
	}
	report.Fail(w.stage, err)
	return 1
}

// warden owns the lab from outside its namespaces.
type warden struct {
	cfg      Config
	dir      *directory
	report   *Reporter
	stage    string      // of the error run returns
	stop     chan string // why to end
	detached atomic.Bool // nobody reads report any more
	// lifeline of process 1. It is never closed by us: the kernel does it when we
	// die. It is kept here so that no finalizer closes it earlier.
	lifeline *os.File
	state    status
}

func (w *warden) run() error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	defer listener.Close()
	w.cfg.Port = listener.Addr().(*net.TCPAddr).Port
	control, err := net.Listen("unix", w.dir.file(socketFile))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer control.Close()
	inside, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.dir.file(insideFile), Net: "unix"})
	if err != nil {
		return fmt.Errorf("socket for requests: %w", err)
	}
	defer inside.Close()
	w.state = status{Name: w.cfg.Name, PID: os.Getpid(), Started: time.Now(), Nodes: w.cfg.Nodes,
		Dataplane: w.cfg.Dataplane, Kubeconfig: w.dir.file(kubeconfigFile), Labd: w.cfg.Labd}
	if err := w.dir.writeStatus(w.state); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	go w.watchLifeline()
	go w.serveControl(control)

	w.stage = "namespaces"
	child, events, err := w.startInit(listener, inside)
	if err != nil {
		return fmt.Errorf("create the lab's namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.follow(events) }()
	select {
	case <-w.stop:
	case <-signals:
	case err = <-ended: // the pipe closed: process 1 and all it held are going
	}
	_ = child.Process.Kill()
	_ = child.Wait() // returns when every process of the namespace is gone
	return err
}

// startInit clones process 1 into its namespaces. It hands it the listeners, the
// progress pipe and a lifeline of our own, which closes when we die.
func (w *warden) startInit(listener *net.TCPListener, inside *net.UnixListener) (*exec.Cmd, io.ReadCloser, error) {
	lf, err := listener.File()
	if err != nil {
		return nil, nil, err
	}
	defer lf.Close()
	inf, err := inside.File()
	if err != nil {
		return nil, nil, err
	}
	defer inf.Close()
	events, eventsW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer eventsW.Close()
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer lifeR.Close()
	cmd := isolated("init", w.cfg.encode())
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{lf, eventsW, inf, lifeR}
	if err := cmd.Start(); err != nil {
		lifeW.Close()
		events.Close()
		return nil, nil, err
	}
	w.lifeline = lifeW
	return cmd, events, nil
}

// isolated is this binary as process 1 of new namespaces. One user and one group
// are mapped, also when we are root: one code path.
func isolated(args ...string) *exec.Cmd {
	return &exec.Cmd{
		Path: "/proc/self/exe",
		Args: append([]string{"labd"}, args...),
		Env:  []string{"PATH=/bin", "HOME=/root", "TMPDIR=/tmp"},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
				unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   unix.SIGKILL,
		},
	}
}

// follow passes events on until the pipe closes, and returns why the lab died.
func (w *warden) follow(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("progress of the lab: %w", err)
		}
		switch {
		case e.Error != "":
			w.stage = e.Stage
			return errors.New(e.Error)
		case e.Ready:
			if err := w.becomeReady(&e); err != nil {
				return err
			}
		case e.Step == "namespaces":
			w.stage = ""
		}
		w.report.Send(e)
	}
	return errors.New("process 1 of the lab died; was it killed?")
}

func (w *warden) becomeReady(e *Event) error {
	if err := w.dir.write(kubeconfigFile, []byte(e.Kubeconfig)); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	e.Kubeconfig = w.state.Kubeconfig
	w.state.Ready = true
	if err := w.dir.writeStatus(w.state); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// watchLifeline asks for the end when the owner goes without having detached.
func (w *warden) watchLifeline() {
	if w.cfg.Lifeline < 0 {
		return
	}
	f := os.NewFile(uintptr(w.cfg.Lifeline), "lifeline")
	b := make([]byte, 1)
	if n, _ := f.Read(b); n == 1 && b[0] == detachByte {
		w.detached.Store(true)
		return
	}
	w.stop <- "the owner is gone"
}

// serveControl ends the lab when anyone with access to the directory says "down".
// The connection stays open until we are done: its end tells the caller.
func (w *warden) serveControl(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			line, _ := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
			if line != "down\n" {
				conn.Close()
				return
			}
			w.stop <- "asked to end"
		}()
	}
}
