package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// attachment is one client's view of a container's own streams.
type attachment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	resize         <-chan remotecommand.TerminalSize
}

// audience is who watches a container's output besides its log. The zero value is nobody.
type audience struct {
	mu      sync.Mutex
	members map[*member]bool
}

// member is one client. It is gone when a write to it has failed.
type member struct {
	out  map[string]io.Writer // by stream
	gone chan struct{}
	once sync.Once
}

func (a *audience) join(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members == nil {
		a.members = map[*member]bool{}
	}
	a.members[m] = true
}

func (a *audience) leave(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.members, m)
}

// stage is where a stream's bytes are shown to the audience. Like a terminal, it
// is as slow as its slowest client; it never fails.
type stage struct {
	*audience
	stream string
}

func (s stage) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.members {
		if w := m.out[s.stream]; w != nil {
			if _, err := w.Write(b); err != nil {
				m.once.Do(func() { close(m.gone) })
			}
		}
	}
	return len(b), nil
}

// attach connects a client with the streams of a running container, until the
// container ends or the client is gone.
func (r *Runtime) attach(ctx context.Context, id string, a attachment) error {
	p := r.find(id)
	if p == nil {
		return notFound("container", id)
	}
	p.mu.Lock()
	running, input, screen := p.state == runtimeapi.ContainerState_CONTAINER_RUNNING, p.input, p.screen
	p.mu.Unlock()
	if !running {
		return fmt.Errorf("container %s does not run", p.name())
	}
	m := &member{out: map[string]io.Writer{}, gone: make(chan struct{})}
	if a.stdout != nil {
		m.out["stdout"] = a.stdout
	}
	if a.stderr != nil {
		m.out["stderr"] = a.stderr
	}
	p.audience.join(m)
	defer p.audience.leave(m)
	if a.resize != nil && screen != nil {
		go screen.resize(a.resize) // ends with the client's stream, as the copy of its input does
	}
	if a.stdin != nil && input != nil {
		go func() {
			_, err := io.Copy(input, a.stdin)
			if p.config.GetStdinOnce() && screen == nil && !errors.Is(err, context.Canceled) {
				input.Close()
			}
		}()
	}
	select {
	case <-p.exited: // its last output was shown before
		return nil
	case <-m.gone:
		return errors.New("the client is gone")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
