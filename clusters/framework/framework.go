// Package framework hosts tests that are written with sigs.k8s.io/e2e-framework: a lab
// and a kind cluster as its providers, for test suites of anybody.
//
//	testenv.Setup(envfuncs.CreateCluster(framework.Lab(lab.Options{Nodes: 2}), "mine"))
//	testenv.Finish(envfuncs.DestroyCluster("mine"))
//
// It imports package testing, as the framework does, so no program imports it.
package framework

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// hosted is what both kinds of cluster offer.
type hosted interface {
	clusters.Cluster
	Kubeconfig() string
}

// provider is what the two providers share.
type provider struct {
	cluster hosted
	open    func(ctx context.Context, configFile string) (hosted, error)
	logs    func(ctx context.Context, folder string) error
	opts    []support.ClusterOpts
}

// create opens the cluster and returns its kubeconfig.
func (p *provider) create(ctx context.Context, self support.E2EClusterProvider, configFile string) (string, error) {
	if p.cluster != nil {
		return "", fmt.Errorf("cluster %s was created already", p.cluster.Name())
	}
	for _, opt := range p.opts {
		opt(self)
	}
	c, err := p.open(ctx, configFile)
	if err != nil {
		return "", err
	}
	p.cluster = c
	return c.Kubeconfig(), nil
}

// Cluster is the one that was created; nil before.
func (p *provider) Cluster() clusters.Cluster {
	if p.cluster == nil {
		return nil
	}
	return p.cluster
}

// GetKubeconfig is the path of the cluster's kubeconfig; empty before it is created.
func (p *provider) GetKubeconfig() string {
	if p.cluster == nil {
		return ""
	}
	return p.cluster.Kubeconfig()
}

// GenerateKubeconfig is GetKubeconfig: there is one, and it takes no arguments.
func (p *provider) GenerateKubeconfig(args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("arguments %q for a kubeconfig: there is only the administrator's", strings.Join(args, " "))
	}
	return p.GetKubeconfig(), nil
}

// GetKubectlContext is empty: the kubeconfig has one context, which is its current one.
func (p *provider) GetKubectlContext() string { return "" }

// ExportLogs writes the logs of the cluster's own parts into a folder.
func (p *provider) ExportLogs(ctx context.Context, folder string) error {
	if p.cluster == nil {
		return errors.New("there is no cluster yet, and so no log of it")
	}
	return p.logs(ctx, folder)
}

// Destroy ends the cluster; nothing of it is left. One that was not created is fine.
func (p *provider) Destroy(ctx context.Context) error {
	if p.cluster == nil {
		return nil
	}
	c := p.cluster
	p.cluster = nil
	return c.Close(ctx)
}

// WaitForControlPlane has nothing to wait for: Create returns when the nodes are Ready.
func (p *provider) WaitForControlPlane(context.Context, klient.Client) error { return nil }

// KubernetesRestConfig has an administrator's credentials; nil before Create.
func (p *provider) KubernetesRestConfig() *rest.Config {
	if p.cluster == nil {
		return nil
	}
	return p.cluster.Config()
}

// LabProvider makes labs.
type LabProvider struct {
	Options lab.Options
	provider
}

var _ support.E2EClusterProvider = (*LabProvider)(nil)

// Lab is a provider of labs with these options. labd is found as lab.FindLabd says:
// WithLabd or the environment variable TIGHTROPE_BIN names it to a test binary.
func Lab(o lab.Options) *LabProvider {
	p := &LabProvider{Options: o}
	p.open = func(ctx context.Context, configFile string) (hosted, error) {
		if configFile != "" {
			return nil, fmt.Errorf("configuration file %s: a lab has none; its options are those of package lab", configFile)
		}
		return lab.Open(ctx, p.Options)
	}
	p.logs = p.copyLogs
	return p
}

// WithLabd says where labd is.
func WithLabd(path string) support.ClusterOpts {
	return func(c support.E2EClusterProvider) {
		if p, ok := c.(*LabProvider); ok {
			p.Options.Labd = path
		}
	}
}

// WithName names the lab.
func (p *LabProvider) WithName(name string) support.E2EClusterProvider {
	p.Options.Name = name
	return p
}

// WithVersion changes nothing: a lab is of the Kubernetes that labd was built with.
func (p *LabProvider) WithVersion(string) support.E2EClusterProvider { return p }

// WithPath says where labd is.
func (p *LabProvider) WithPath(path string) support.E2EClusterProvider {
	p.Options.Labd = path
	return p
}

// WithOpts are applied when the lab is created.
func (p *LabProvider) WithOpts(opts ...support.ClusterOpts) support.E2EClusterProvider {
	p.opts = append(p.opts, opts...)
	return p
}

// SetDefaults gives a lab one node if it has none, so that pods run.
func (p *LabProvider) SetDefaults() support.E2EClusterProvider {
	if p.Options.Nodes == 0 {
		p.Options.Nodes = 1
	}
	return p
}

// Create brings up the lab. It takes no arguments.
func (p *LabProvider) Create(ctx context.Context, args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("arguments %q for a lab: its options are those of package lab", strings.Join(args, " "))
	}
	return p.create(ctx, p, "")
}

// CreateWithConfig refuses the file: a lab has none.
func (p *LabProvider) CreateWithConfig(ctx context.Context, file string) (string, error) {
	return p.create(ctx, p, file)
}

func (p *LabProvider) copyLogs(ctx context.Context, folder string) error {
	all, err := lab.Logs(ctx, p.Options.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, l := range all {
		err := intoFile(filepath.Join(folder, filepath.Base(l.Component)+".log"), func(w io.Writer) error {
			return lab.CopyLog(ctx, p.Options.Name, lab.LogOptions{Component: l.Component}, w)
		})
		if err != nil {
			return fmt.Errorf("log of %s: %w", l.Component, err)
		}
	}
	return nil
}

func intoFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
