package cri

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

// process is one container: created, running, exited, in that order only.
type process struct {
	id         string
	sandbox    *sandbox
	config     *runtimeapi.ContainerConfig // never written to
	image      *image
	privileges container.Privileges
	created    time.Time
	log        *logFile
	exited     chan struct{} // closed after the fields below are final
	channels

	mu       sync.Mutex // guards what follows; never held while Runtime.mu is asked for
	launched bool       // StartContainer was called
	state    runtimeapi.ContainerState
	handle   *os.Process // nil until started
	started  time.Time
	finished time.Time
	exitCode int32
	reason   string
	message  string
}

// CreateContainer checks and remembers; nothing runs yet.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) (string, error) {
	privileges, err := privilegesOf(c)
	if err == nil {
		err = refuseContainer(c, privileges)
	}
	if err != nil {
		return "", err
	}
	i := r.images.find(c.GetImage().GetImage())
	if i == nil {
		return "", fmt.Errorf("container %s: image %q is not mapped in this lab", c.GetMetadata().GetName(), c.GetImage().GetImage())
	}
	p := &process{id: newID(), config: c, image: i, privileges: privileges, created: time.Now(), exited: make(chan struct{}),
		log: &logFile{path: filepath.Join(pod.GetLogDirectory(), c.GetLogPath())}}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[sandboxID]
	if s == nil {
		return "", notFound("pod sandbox", sandboxID)
	}
	if !s.ready {
		return "", fmt.Errorf("container %s: its pod sandbox is stopped", c.GetMetadata().GetName())
	}
	p.sandbox = s
	r.containers[p.id] = p
	return p.id, nil
}

// spec is what container-init is told.
func (p *process) spec(root string) *container.Spec {
	c := p.config
	s := &container.Spec{Hostname: p.sandbox.config.GetHostname(), Root: root, Binary: p.image.program, Name: p.image.base(),
		Argv: p.image.argv(c.GetCommand(), c.GetArgs()), Dir: cmp.Or(c.GetWorkingDir(), p.image.dir),
		ResolvConf:   resolvConf(p.sandbox.config.GetDnsConfig()),
		ReadOnlyRoot: c.GetLinux().GetSecurityContext().GetReadonlyRootfs(),
		Shm:          p.sandbox.shm, User: p.user(), Privileges: p.privileges}
	s.Env = p.variables()
	if p.image.files != "" {
		s.Binary, s.Host = "", p.image.files
	}
	for _, m := range byDepth(c.GetMounts()) {
		s.Mounts = append(s.Mounts, container.Mount{Source: m.GetHostPath(), Target: m.GetContainerPath(), ReadOnly: m.GetReadonly()})
	}
	return s
}

func (p *process) name() string { return p.config.GetMetadata().GetName() }

// variables are the image's, and the pod's in their place: a program sees the first
// of two with one name.
func (p *process) variables() (env []string) {
	for _, e := range p.image.env {
		key, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(p.config.GetEnvs(), func(o *runtimeapi.KeyValue) bool { return o.GetKey() == key }) {
			env = append(env, e)
		}
	}
	for _, e := range p.config.GetEnvs() {
		env = append(env, e.GetKey()+"="+string(e.GetValue()))
	}
	return env
}

// environment is that of a further program in the container.
func (p *process) environment(tty bool) []string {
	env := p.variables()
	if tty {
		env = append([]string{"TERM=xterm"}, env...)
	}
	return container.Environment(env, p.sandbox.config.GetHostname())
}

// stop asks with the container's stop signal, and after grace it kills. It returns
// when the process is gone, or with ctx.
func (p *process) stop(ctx context.Context, grace time.Duration) error {
	if grace > 0 {
		p.signal(p.stopSignal())
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.exited:
			return nil
		case <-timer.C:
		case <-ctx.Done(): // out of time: kill below
		}
	}
	p.signal(unix.SIGKILL)
	if !p.begun() {
		return nil
	}
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("container %s did not end after SIGKILL: %w", p.name(), context.Cause(ctx))
	}
}

func (p *process) stopSignal() unix.Signal {
	if s := unix.SignalNum(p.config.GetStopSignal().String()); s != 0 {
		return s
	}
	return unix.SIGTERM
}

// StopContainer takes the grace period in seconds; 0 kills at once. A container
// that does not run, or is not known, is fine.
func (r *Runtime) StopContainer(ctx context.Context, id string, seconds int64) error {
	p := r.find(id)
	if p == nil {
		return nil
	}
	return p.stop(ctx, time.Duration(seconds)*time.Second)
}

// RemoveContainer kills a container that still runs, and forgets it.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	p := r.find(id)
	if p == nil {
		return nil
	}
	if err := p.stop(ctx, 0); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.containers, id)
	r.mu.Unlock()
	return nil
}

// ReopenContainerLog follows a rotation.
func (r *Runtime) ReopenContainerLog(_ context.Context, id string) error {
	p := r.find(id)
	if p == nil {
		return notFound("container", id)
	}
	return p.log.reopen()
}

func (r *Runtime) findSandbox(id string) *sandbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sandboxes[id]
}

func (r *Runtime) find(id string) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.containers[id]
}

// signal tells a running process; others do not hear it.
func (p *process) signal(s unix.Signal) {
	p.mu.Lock()
	handle := p.handle
	p.mu.Unlock()
	if handle != nil {
		_ = handle.Signal(s) // it has ended otherwise, which is as good
	}
}

func (p *process) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handle != nil
}
