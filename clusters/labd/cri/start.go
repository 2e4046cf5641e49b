package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

// startErrorCode is the exit code of a container whose program never ran.
const startErrorCode = 128

const maxStatus = 4096 // bytes of container-init's reason

// StartContainer returns when the container's own program runs, or with the
// reason why it cannot.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	p := r.find(id)
	if p == nil {
		return notFound("container", id)
	}
	name := p.config.GetMetadata().GetName()
	p.mu.Lock()
	again := p.launched
	p.launched = true
	p.mu.Unlock()
	if again {
		return fmt.Errorf("container %s: it was started before", name)
	}
	if err := r.launch(p); err != nil {
		p.hangUp()
		p.log.close()
		p.end(startErrorCode, "StartError", err.Error())
		r.announce(p)
		return fmt.Errorf("container %s: %w", name, err)
	}
	r.announce(p)
	return nil
}

func (r *Runtime) launch(p *process) error {
	if err := p.log.open(); err != nil {
		return err
	}
	spec, err := json.Marshal(p.spec(r.mountRoot))
	if err != nil {
		return fmt.Errorf("specification: %w", err)
	}
	pipes, err := openPipes(2)
	if err != nil {
		return err
	}
	specPipe, status := pipes[0], pipes[1]
	cmd := &exec.Cmd{Path: r.init, Args: []string{"labd", container.Argument}, Env: []string{}, Dir: "/",
		ExtraFiles: []*os.File{specPipe.r, status.w},
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true,
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS}}
	as(p.user(), cmd.SysProcAttr)
	theirs, pumps, err := p.connect(cmd, r.terminals)
	if err == nil {
		err = p.sandbox.space.Do(cmd.Start)
	}
	closeAll(append(theirs, specPipe.r, status.w)...)
	if err != nil {
		closeAll(specPipe.w, status.r)
		if pumps != nil {
			pumps.Wait()
		}
		return fmt.Errorf("clone container-init: %w", err)
	}
	if err := handOver(specPipe.w, status.r, spec); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		pumps.Wait()
		return err
	}
	p.mu.Lock()
	p.handle, p.started, p.state = cmd.Process, time.Now(), runtimeapi.ContainerState_CONTAINER_RUNNING
	p.mu.Unlock()
	go r.await(p, cmd, pumps)
	return nil
}

// handOver gives container-init its specification and waits until it is the
// container's program.
func handOver(to io.WriteCloser, from io.ReadCloser, spec []byte) error {
	defer from.Close()
	_, err := to.Write(spec)
	err = errors.Join(err, to.Close())
	reason, readErr := io.ReadAll(io.LimitReader(from, maxStatus))
	switch {
	case len(reason) > 0:
		return errors.New(string(reason))
	case err != nil:
		return fmt.Errorf("container-init ended early: %w", err)
	case readErr != nil:
		return fmt.Errorf("container-init: %w", readErr)
	}
	return nil
}

// await owns a running process until it has ended and its output is in the log.
func (r *Runtime) await(p *process, cmd *exec.Cmd, pumps *sync.WaitGroup) {
	_ = cmd.Wait() // the state says it all
	pumps.Wait()
	p.hangUp()
	p.log.close()
	code, reason := verdictOf(cmd.ProcessState)
	p.end(code, reason, "")
	r.announce(p)
}

// verdictOf follows the shell's rule for signals: 128 plus the signal.
func verdictOf(st *os.ProcessState) (code int32, reason string) {
	ws, ok := st.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		return startErrorCode, "Unknown"
	case ws.Signaled():
		return 128 + int32(ws.Signal()), "Error"
	case ws.ExitStatus() != 0:
		return int32(ws.ExitStatus()), "Error"
	}
	return 0, "Completed"
}

// end makes the state final. It is called once.
func (p *process) end(code int32, reason, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = time.Now()
	if p.started.IsZero() {
		p.started = p.finished
	}
	p.state, p.exitCode, p.reason, p.message = runtimeapi.ContainerState_CONTAINER_EXITED, code, reason, message
	close(p.exited)
}

type pipe struct{ r, w *os.File }

func openPipes(n int) ([]pipe, error) {
	pipes := make([]pipe, n)
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			for _, p := range pipes[:i] {
				closeAll(p.r, p.w)
			}
			return nil, err
		}
		pipes[i] = pipe{r, w}
	}
	return pipes, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close()
	}
}
