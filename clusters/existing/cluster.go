package existing

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/tightrope-dev/tightrope/clusters"
)

// Cluster is the one that a kubeconfig points at, with the caller's credentials.
type Cluster struct {
	name                string
	kubeconfig, context string // as the caller named them; empty: the default
	config              *rest.Config
}

var _ clusters.Cluster = (*Cluster)(nil)

// Open connects to the cluster of a kubeconfig's context. Empty means the default of
// each, as ConnectAs has it.
func Open(ctx context.Context, kubeconfig, named string) (*Cluster, error) {
	config, name, err := ConnectAs(ctx, kubeconfig, named)
	if err != nil {
		return nil, err
	}
	return &Cluster{name, kubeconfig, named, config}, nil
}

// Name is that of the context.
func (c *Cluster) Name() string { return c.name }

// Config has the caller's credentials.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubectl names what the caller named.
func (c *Cluster) Kubectl() []string {
	line := []string{"kubectl"}
	if c.kubeconfig != "" {
		line = append(line, "--kubeconfig", c.kubeconfig)
	}
	if c.context != "" {
		line = append(line, "--context", c.context)
	}
	return line
}

// Can is nothing special: it is anybody's cluster.
func (c *Cluster) Can() clusters.Capabilities { return clusters.Capabilities{} }

// Close leaves the cluster as it is.
func (c *Cluster) Close(context.Context) error { return nil }
