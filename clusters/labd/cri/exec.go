package cri

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/tightrope-dev/tightrope/clusters/labd/archive"
	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
)

// drainTime is how long output is waited for after a command has ended: what it
// left running may hold its output open for ever.
const drainTime = 2 * time.Second

// maxOutput bounds what ExecSync keeps of each stream; the rest is dropped.
const maxOutput = 1 << 20

// command is a program to run in a container that runs already. A nil stream is
// an empty input, or an output nobody wants.
type command struct {
	argv           []string
	stdin          io.Reader // ended by its owner: it may be read from after the command's end
	stdout, stderr io.Writer
	tty            bool // stdout carries both outputs
	resize         <-chan remotecommand.TerminalSize
}

// ourselves is this binary, as seen by the child that executes it, wherever it is.
const ourselves = "/proc/self/exe"

// namespaces are those that a container's processes share. The user namespace is
// not among them: a process of several threads cannot join one.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// ExecSync runs a command with its output kept, for probes and hooks. A timeout of
// zero is none.
func (r *Runtime) ExecSync(ctx context.Context, id string, argv []string, timeout time.Duration) (stdout, stderr []byte, err error) {
	if timeout > 0 {
		late := fmt.Errorf("%w: %q timed out after %v", remote.ErrCommandTimedOut, strings.Join(argv, " "), timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, late)
		defer cancel()
	}
	var out, errOut head
	err = r.exec(ctx, id, command{argv: argv, stdout: &out, stderr: &errOut})
	return out, errOut, err
}

// head keeps the first maxOutput bytes that are written to it.
type head []byte

func (h *head) Write(b []byte) (int, error) {
	*h = append(*h, b[:min(len(b), maxOutput-len(*h))]...)
	return len(b), nil
}

// exec runs a command in a container and returns when it has ended and its output
// is delivered. The command's own failure is a utilexec.ExitError.
func (r *Runtime) exec(ctx context.Context, id string, c command) error {
	p := r.find(id)
	if p == nil {
		return notFound("container", id)
	}
	if len(c.argv) == 0 {
		return fmt.Errorf("container %s: empty command", p.name())
	}
	cmd := exec.CommandContext(ctx, ourselves) // its path is found when we are inside
	cmd.Args, cmd.Env, cmd.Dir = c.argv, p.environment(c.tty), cmp.Or(p.config.GetWorkingDir(), "/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = drainTime
	run := c.run
	if c.tty {
		run = func(start func() error, cmd *exec.Cmd) error { return c.runOnTerminal(r.terminals, start, cmd) }
	}
	err := run(func() error { return p.startInside(cmd) }, cmd)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.outcome(err)
}

// run runs a command over pipes.
func (c command) run(start func() error, cmd *exec.Cmd) error {
	null, err := os.Open(os.DevNull) // here, not in the container
	if err != nil {
		return err
	}
	defer null.Close()
	out, err := carry(orDiscard(c.stdout))
	if err != nil {
		return err
	}
	errOut, err := carry(orDiscard(c.stderr))
	if err != nil {
		out.w.Close()
		out.finish()
		return err
	}
	defer finishAll(out, errOut)
	defer closeAll(out.w, errOut.w) // again, where it did not start
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, out.w, errOut.w
	if c.stdin == nil {
		if err := start(); err != nil {
			return err
		}
		closeAll(out.w, errOut.w) // the command has its own
		return cmd.Wait()
	}
	cmd.Stdin = nil
	in, err := cmd.StdinPipe() // Wait closes it
	if err != nil {
		return err
	}
	if err := start(); err != nil {
		return err
	}
	closeAll(out.w, errOut.w)
	go func() { // ends when the client's stream does, which is after our return
		_, _ = io.Copy(in, c.stdin)
		in.Close()
	}()
	return cmd.Wait()
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// startInside starts cmd as a process of the container. A thread of ours joins the
// container's namespaces, so that nothing but the command itself has to be
// executed, and ends.
func (p *process) startInside(cmd *exec.Cmd) error {
	pidfd, err := p.openPidfd()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	var h *held
	if u := p.user(); !u.Root() {
		if h, err = hold(cmd, u); err != nil {
			return err
		}
	}
	started := make(chan error, 1)
	podnet.OnOwnThread(func() { started <- p.join(pidfd, cmd, h != nil) })
	err = <-started
	if h != nil {
		err = errors.Join(err, h.release(cmd))
	}
	return err
}

func (p *process) join(pidfd *os.File, cmd *exec.Cmd, held bool) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // a thread that shares its root cannot change its mounts
		return fmt.Errorf("leave the node's root: %w", err)
	}
	if err := unix.Setns(int(pidfd.Fd()), namespaces); err != nil {
		return fmt.Errorf("join the namespaces of container %s: %w", p.name(), err)
	}
	program, err := container.LookUp(cmd.Args[0], cmd.Env)
	if errors.Is(err, fs.ErrNotExist) && archive.Command(cmd.Args[0]) != nil {
		program, err = ourselves, nil
	}
	if err != nil {
		return err
	}
	if err := p.restrict(held); err != nil {
		return err
	}
	cmd.Path = program
	if held {
		cmd.Path, cmd.Args = ourselves, append([]string{"labd", container.ExecArgument, program}, cmd.Args...)
	}
	return cmd.Start()
}

// restrict takes from the calling thread what a program of the container may not do.
// A held one loses all in its user namespace, when it becomes the program.
func (p *process) restrict(held bool) error {
	privileges := p.privileges
	if held {
		return privileges.RefuseNew()
	}
	return privileges.Apply(container.User{})
}

// openPidfd opens a descriptor of the container's first process while it is known
// that its number is still its own.
func (p *process) openPidfd() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != runtimeapi.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s does not run", p.name())
	}
	fd, err := unix.PidfdOpen(p.handle.Pid, 0)
	if err != nil {
		return nil, fmt.Errorf("container %s does not run: %w", p.name(), err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// outcome translates the end of a command.
func (p *process) outcome(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended well, and left somebody with its output
		return nil
	case !ok:
		return err
	}
	code, _ := verdictOf(exit.ProcessState)
	return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: int(code)}
}
