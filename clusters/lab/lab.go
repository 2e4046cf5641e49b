package lab

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DefaultName is the lab that commands mean when none is named.
const DefaultName = "default"

// CounterPort is where every node's address serves what its data plane counted:
// /counters per policy, /drops the first drop of every flow.
const CounterPort = 10260

// ErrRefused is wrapped by errors that say why no lab was even tried: bad
// options, a name that is up already, or a machine that forbids it.
var ErrRefused = errors.New("no lab was started")

// Options say what kind of lab to bring up. The zero value is an API server
// alone, named default, found by FindLabd.
type Options struct {
	Name      string            // "" means DefaultName
	Nodes     int               // 0 means API server and controller manager only
	Dataplane string            // profile of the nodes' data planes, as "established=cut,deny=reject"; "" means enforce
	Families  string            // "" means IPv4; IPv6, or IPv4,IPv6
	Images    map[string]string // image name → program, and arguments; added to our own. See ParseImages
	// ImageLayout is the folder of an OCI layout, as make images writes it: pods run its images, also by their
	// digests, instead of programs of the same names. "" means none, and then no digest runs.
	ImageLayout string
	Labd        string     // path of labd; "" means FindLabd searches
	Progress    func(Step) // called in order, from one goroutine; may be nil
}

// Lab is a lab that this process brought up.
type Lab struct {
	name       string
	kubeconfig string
	cmd        *exec.Cmd
	lifeline   *os.File // closing it ends the lab, unless detachByte was written
	exited     chan struct{}
	err        error // why the lab ended; valid after exited
}

const detachByte = 'd'

// Up brings up a lab and returns when it is ready: its nodes are Ready and its
// DNS answers. The lab ends when this process does, however it does. Errors wrap
// ErrRefused, or say which component failed with the end of its log; nothing is
// left of a lab that failed.
func Up(ctx context.Context, o Options) (*Lab, error) {
	labd, err := FindLabd(o.Labd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	args, err := o.arguments(labd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	Sweep()
	w, err := startWarden(labd, args)
	if err != nil {
		return nil, fmt.Errorf("start the lab's warden: %w", err)
	}
	w.lab.name = cmp.Or(o.Name, DefaultName)
	stop := context.AfterFunc(ctx, func() { w.lab.lifeline.Close() })
	err = w.awaitReady(o.Progress)
	switch {
	case !stop(): // ctx ended, so the lab is ending too
		close(w.drained)
		<-w.lab.exited
		return nil, fmt.Errorf("the lab was not ready yet: %w", context.Cause(ctx))
	case err != nil:
		close(w.drained)
		w.lab.lifeline.Close()
		<-w.lab.exited
		return nil, w.explain(labd, err)
	}
	go w.drain()
	return w.lab, nil
}

func (o Options) arguments(labd string) ([]string, error) {
	name := cmp.Or(o.Name, DefaultName)
	dir, err := directory(name)
	if err != nil {
		return nil, err
	}
	images, err := imagesFor(labd, o.Images)
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--name", name, "--dir", dir, "--lifeline", "3",
		"--nodes", strconv.Itoa(o.Nodes), "--dataplane", cmp.Or(o.Dataplane, "enforce"), "--ip-families", cmp.Or(o.Families, "IPv4")}
	for image, path := range images {
		args = append(args, "--image", image+"="+path)
	}
	if o.ImageLayout != "" {
		layout, err := filepath.Abs(o.ImageLayout)
		if err != nil {
			return nil, fmt.Errorf("image layout %s: %w", o.ImageLayout, err)
		}
		args = append(args, "--image-layout", layout)
	}
	return args, nil
}

// Kubeconfig is the path of a file with an administrator's credentials. It goes
// when the lab does.
func (l *Lab) Kubeconfig() string { return l.kubeconfig }

// Done is closed when the lab has ended, whoever ended it.
func (l *Lab) Done() <-chan struct{} { return l.exited }

// Err says why the lab ended by itself. It is nil while the lab lives, and after Down.
func (l *Lab) Err() error {
	select {
	case <-l.exited:
		return l.err
	default:
		return nil
	}
}

// Detach lets the lab live on when this process ends. Down, or the function of
// that name in any process of this user, ends it.
func (l *Lab) Detach() error {
	_, err := l.lifeline.Write([]byte{detachByte})
	if err = errors.Join(err, l.lifeline.Close()); err != nil {
		return fmt.Errorf("detach the lab: %w", err)
	}
	return nil
}

// Down ends the lab and returns when no process of it is left. When ctx ends
// first the warden is killed, and the kernel ends the rest.
func (l *Lab) Down(ctx context.Context) error {
	if err := l.lifeline.Close(); errors.Is(err, os.ErrClosed) {
		_ = l.cmd.Process.Signal(syscall.SIGTERM) // detached, or ended before
	}
	select {
	case <-l.exited:
		return nil
	case <-ctx.Done():
		_ = l.cmd.Process.Kill()
		<-l.exited
		_ = os.RemoveAll(filepath.Dir(l.kubeconfig))
		return nil
	}
}

// wardenProcess is labd up, as seen from its starter.
type wardenProcess struct {
	lab    *Lab
	lines  *bufio.Scanner
	stderr *os.File
	stdout *os.File

	drained chan struct{} // closed when nobody reads events any more
}

func startWarden(labd string, args []string) (*wardenProcess, error) {
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer lifeR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	stderr, err := unnamedFile("labd-stderr")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(labd, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = outW, stderr, []*os.File{lifeR}
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		lifeW.Close()
		outR.Close()
		stderr.Close()
		return nil, err
	}
	w := &wardenProcess{lab: &Lab{cmd: cmd, lifeline: lifeW, exited: make(chan struct{})},
		lines: bufio.NewScanner(outR), stderr: stderr, stdout: outR, drained: make(chan struct{})}
	w.lines.Buffer(nil, 1<<20)
	go func() {
		_ = cmd.Wait()
		<-w.drained // so that who sees the end sees its reason
		close(w.lab.exited)
	}()
	return w, nil
}

// next is the next event, or why there is none.
func (w *wardenProcess) next() (e event, err error) {
	if !w.lines.Scan() {
		return e, errors.Join(errors.New("the lab's warden died; was it killed?"), w.lines.Err())
	}
	if err := json.Unmarshal(w.lines.Bytes(), &e); err != nil {
		return e, fmt.Errorf("the lab's warden said %.80q: %w", w.lines.Text(), err)
	}
	if e.Error != "" {
		return e, &wardenError{e}
	}
	return e, nil
}

// wardenError is what the warden reported before it ended.
type wardenError struct{ event }

func (e *wardenError) Error() string { return e.event.Error }

func (w *wardenProcess) awaitReady(progress func(Step)) error {
	for {
		e, err := w.next()
		switch {
		case err != nil:
			return err
		case e.Ready:
			w.lab.kubeconfig = e.Kubeconfig
			return nil
		case e.Step != "" && progress != nil:
			progress(Step{Name: e.Step, Seconds: e.Seconds})
		}
	}
}

// drain reads on, so that the reason of a later death is known.
func (w *wardenProcess) drain() {
	defer close(w.drained)
	defer w.stdout.Close()
	defer w.stderr.Close()
	for {
		if _, err := w.next(); err != nil {
			if reported, ok := errors.AsType[*wardenError](err); ok {
				w.lab.err = reported
			}
			return
		}
	}
}

// explain says what a failed start means: a refusal of the machine has a
// sentence of its own, and a crash of the warden is shown.
func (w *wardenProcess) explain(labd string, err error) error {
	defer w.stdout.Close()
	defer w.stderr.Close()
	reported, ok := errors.AsType[*wardenError](err)
	switch {
	case ok && reported.Stage == "usage":
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case ok && reported.Stage == "namespaces":
		if refused := allowed(labd); refused != nil {
			return refused
		}
	case !ok:
		if said, _ := io.ReadAll(io.NewSectionReader(w.stderr, 0, 8<<10)); len(said) > 0 {
			return fmt.Errorf("%w; it said: %s", err, strings.TrimSpace(string(said)))
		}
	}
	return fmt.Errorf("the lab did not come up: %w", err)
}
