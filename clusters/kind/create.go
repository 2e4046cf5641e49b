package kind

import (
	"context"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
)

const (
	// pulling begins what kind says before it pulls node images. So far there is nothing
	// to delete, and a pull may take minutes.
	pulling = "Ensuring node image"
	// again is how often an interrupted creation is deleted: containers that were being
	// made show up late.
	again = time.Second
)

// creation is kind's, which hears of no context. It can be stopped where it says what
// it does next.
type creation struct {
	mu      sync.Mutex
	pulls   bool // it has said so, and nothing since
	stopped bool
}

// says is told every line that kind says, in kind's own goroutine. It does not return
// to a creation that was stopped while it pulled.
func (c *creation) says(line string) {
	c.mu.Lock()
	defer c.mu.Unlock() // also when the goroutine ends here
	if c.stopped && c.pulls {
		goruntime.Goexit()
	}
	c.pulls = strings.Contains(line, pulling)
}

// stop ends a creation that pulls, and reports whether it did: then no container is there.
func (c *creation) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	return c.pulls
}

// make has kind create the cluster. When ctx ends first, what there was of it may have
// to be deleted once more.
func (c *Cluster) make(ctx context.Context, options []cluster.CreateOption) error {
	var stages creation
	provider := cluster.NewProvider(cluster.ProviderWithLogger(logger{func(line string) {
		stages.says(line)
		c.say(line)
	}}), c.runtime)
	done := make(chan error, 1)
	go func() { done <- provider.Create(c.name, options...) }()
	select {
	case err := <-done:
		if err != nil && strings.Contains(err.Error(), "already exist") { // kind has no error to compare with
			return fmt.Errorf("%w: %s, made a moment ago: %w", ErrTaken, c.name, err)
		} else if err != nil {
			return fmt.Errorf("create kind cluster %s: %w", c.name, said(err))
		}
		return nil
	case <-ctx.Done():
	}
	if !stages.stop() {
		c.abandon(done)
	}
	return fmt.Errorf("kind cluster %s was not ready yet: %w", c.name, context.Cause(ctx))
}

// abandon deletes the containers of a creation until kind gives up.
func (c *Cluster) abandon(done <-chan error) {
	for late := time.After(deleteWithin); ; {
		_ = c.provider.Delete(c.name, c.kubeconfig) // Close tells of what stays
		select {
		case <-done:
			return
		case <-late:
			return
		case <-time.After(again):
		}
	}
}
