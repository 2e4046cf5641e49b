package lab

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters"
)

// Cluster is a lab as clusters.Cluster has it.
type Cluster struct {
	*Lab
	config *rest.Config
}

var _ clusters.Cluster = (*Cluster)(nil)

// Open brings up a lab for the caller alone.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	l, err := Up(ctx, o)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		_ = l.Down(ctx) // what is wrong is the kubeconfig
		return nil, fmt.Errorf("kubeconfig of the lab: %w", err)
	}
	config.QPS = -1
	return &Cluster{l, config}, nil
}

// Name is "lab": there is one for each caller.
func (c *Cluster) Name() string { return "lab" }

// Config has an administrator's credentials.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubectl needs no installed kubectl.
func (c *Cluster) Kubectl() []string {
	return []string{"tightrope", "lab", "--name", c.Lab.name, "kubectl", "--"}
}

// Can tells of the counters of the lab's data plane.
func (c *Cluster) Can() clusters.Capabilities {
	return clusters.Capabilities{Own: true, DropsPort: CounterPort}
}

// Close ends the lab.
func (c *Cluster) Close(ctx context.Context) error { return c.Down(ctx) }
