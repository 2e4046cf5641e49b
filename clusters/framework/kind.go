package framework

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"sigs.k8s.io/e2e-framework/support"

	"github.com/tightrope-dev/tightrope/clusters/kind"
)

// KindProvider makes kind clusters, through kind's library.
type KindProvider struct {
	Options kind.Options
	provider
}

var _ support.E2EClusterProviderWithImageLoader = (*KindProvider)(nil)

// Kind is a provider of kind clusters with these options.
func Kind(o kind.Options) *KindProvider {
	p := &KindProvider{Options: o}
	p.open = func(ctx context.Context, configFile string) (hosted, error) {
		o := p.Options
		if configFile != "" {
			o.Config = configFile
		}
		return kind.Open(ctx, o)
	}
	p.logs = func(_ context.Context, folder string) error { return p.kind().CopyLogs(folder) }
	return p
}

// kind is the cluster, where there is one.
func (p *KindProvider) kind() *kind.Cluster { return p.cluster.(*kind.Cluster) }

// WithName names the cluster.
func (p *KindProvider) WithName(name string) support.E2EClusterProvider {
	p.Options.Name = name
	return p
}

// WithVersion chooses the node image of a Kubernetes version, such as v1.34.0.
func (p *KindProvider) WithVersion(version string) support.E2EClusterProvider {
	p.Options.Image = "kindest/node:" + version
	return p
}

// WithPath changes nothing: kind is a library here, and no program.
func (p *KindProvider) WithPath(string) support.E2EClusterProvider { return p }

// WithOpts are applied when the cluster is created.
func (p *KindProvider) WithOpts(opts ...support.ClusterOpts) support.E2EClusterProvider {
	p.opts = append(p.opts, opts...)
	return p
}

// SetDefaults leaves kind's own.
func (p *KindProvider) SetDefaults() support.E2EClusterProvider { return p }

// Create makes the cluster. It takes no arguments.
func (p *KindProvider) Create(ctx context.Context, args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("arguments %q for kind: its options are those of package kind", strings.Join(args, " "))
	}
	return p.create(ctx, p, "")
}

// CreateWithConfig makes the cluster that a file describes.
func (p *KindProvider) CreateWithConfig(ctx context.Context, file string) (string, error) {
	return p.create(ctx, p, file)
}

// LoadImage is refused: it would need Docker's own images. LoadImageArchive does not.
func (p *KindProvider) LoadImage(_ context.Context, image string, _ ...string) error {
	return fmt.Errorf("image %s cannot be taken from Docker: save it (docker save) and load the archive", image)
}

// LoadImageArchive puts the images of a file, as docker save writes it, onto every node.
func (p *KindProvider) LoadImageArchive(ctx context.Context, path string, _ ...string) error {
	if p.cluster == nil {
		return errors.New("there is no cluster yet to load images into")
	}
	return p.kind().LoadArchive(ctx, func(string) (io.ReadCloser, error) { return os.Open(path) })
}
