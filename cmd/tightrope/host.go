package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/clusters/kind"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/images"
	"github.com/tightrope-dev/tightrope/report"
)

// defaultRegistry is what --registry is when it is not given: a name that only whoever builds
// and pushes images knows. The linker sets it; empty means that there is none.
var defaultRegistry string

// closeWithin bounds how long a cluster of our own may take to end.
const closeWithin = 2 * time.Minute

// hostOptions are the flags that say which cluster a command works on.
type hostOptions struct {
	cluster string // lab, kind or current

	kubeconfig, context string // of current

	labd, dataplane string // of the lab
	nodes           int
	images          []string // NAME=PATH

	kind             kind.Options
	registry, layout string
}

// hosted are the flags of each kind of cluster: with another one they would silently
// do nothing.
var hosted = map[string][]string{
	"lab":     {"nodes", "dataplane", "labd", "image"},
	"kind":    {"kind-image", "kind-config", "keep"},
	"current": {"kubeconfig", "context", "adopt-namespaces", "registry"},
}

// register adds the flags that choose a cluster.
func (o *hostOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "lab", "where: lab (embedded, its own), kind (its own, in containers), or current (the kubeconfig's context)")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of --cluster current; empty means $KUBECONFIG or the user's own")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig; empty means its current one")
	f.StringVar(&o.kind.Image, "kind-image", "", "node image of --cluster kind; empty means kind's default")
	f.StringVar(&o.kind.Config, "kind-config", "", "configuration file of --cluster kind, as kind create cluster --config takes it")
	f.BoolVar(&o.kind.Keep, "keep", false, "leave the cluster of --cluster kind, and say how to delete it")
	f.StringVar(&o.registry, "registry", defaultRegistry, "with --cluster current, registry and prefix that the images were pushed to (tightrope images push)")
	f.StringVar(&o.layout, "image-layout", "", "folder with the images; empty means the folder images beside this program, or with --cluster current what was released with it")
	o.registerLab(cmd)
}

// registerLab adds the flags of the lab alone.
func (o *hostOptions) registerLab(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.labd, "labd", "", "path of the labd binary; empty means next to this one, on PATH, or in the user's cache")
	f.StringVar(&o.dataplane, "dataplane", "enforce", "how the lab enforces policies: enforce, ignore as clusters without a policy engine do, or as established=cut,deny=reject,delay=200ms..2s")
	f.IntVar(&o.nodes, "nodes", 2, "nodes of the lab")
	imageFlag(cmd, &o.images)
}

// check refuses flags that would silently do nothing: who names a kubeconfig means
// that cluster, not a lab.
func (o *hostOptions) check(cmd *cobra.Command) error {
	if hosted[o.cluster] == nil {
		return fmt.Errorf("--cluster %q is not known: use lab, kind or current", o.cluster)
	}
	for _, host := range []string{"lab", "kind", "current"} {
		for _, name := range hosted[host] {
			if host != o.cluster && cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s has no effect on --cluster %s: add --cluster %s, or leave it out", name, o.cluster, host)
			}
		}
	}
	if o.cluster == "lab" && o.nodes < 1 {
		return fmt.Errorf("--nodes=%d: at least one node is needed to run pods on", o.nodes)
	}
	if file := o.kind.Config; file != "" {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("--kind-config: %w", err)
		}
	}
	_, err := lab.ParseImages(o.images)
	return err
}

// open returns the cluster, made for this command alone or not. Progress of making
// one is shown.
func (o *hostOptions) open(ctx context.Context, show *screen) (_ clusters.Cluster, err error) {
	switch o.cluster {
	case "current":
		return existing.Open(ctx, o.kubeconfig, o.context)
	case "kind":
		options := o.kind
		if options.Archive, options.Images, err = o.archive(); err != nil {
			return nil, err
		}
		options.Progress = func(line string) { show.line("kind      %s", report.Sanitize(line)) }
		c, err := kind.Open(ctx, options)
		if errors.Is(err, kind.ErrUnavailable) || errors.Is(err, kind.ErrTaken) {
			return nil, err // a usage error
		} else if err != nil {
			return nil, &exitError{exitInconclusive, err}
		}
		return c, nil
	}
	images, err := lab.ParseImages(o.images)
	if err != nil {
		return nil, labError(err) // check said so before
	}
	c, err := lab.Open(ctx, lab.Options{
		Images: images, Name: fmt.Sprintf("run-%d", os.Getpid()), Nodes: o.nodes, Dataplane: o.dataplane, Labd: o.labd, Progress: show.labStep,
	})
	if err != nil {
		return nil, labError(err)
	}
	return c, nil
}

// archive is what kind's nodes are given: our own images, which no registry serves,
// and their names.
func (o *hostOptions) archive() (func(arch string) (io.ReadCloser, error), map[string]string, error) {
	layout, err := ownImages(o.layout)
	if err != nil {
		return nil, nil, err
	}
	return func(arch string) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(layout.SaveDocker(w, arch)) }() // ends when the reader is closed
		return r, nil
	}, layout.Loaded(), nil
}

// deploy are the images as pods name them on the cluster, and what it can do: how to
// install Tightrope there, and the image of stand-ins.
func (o *hostOptions) deploy(c clusters.Cluster) (deploy.Options, string, error) {
	names := c.Can().Images
	if o.registry != "" && o.cluster == "current" {
		var err error
		if names, err = pushed(o.layout, o.registry); err != nil {
			return deploy.Options{}, "", err
		}
	}
	return deploy.Options{
		SingleTenant: true, // a scenario writes as the controller, and its author is an administrator
		Version:      lab.Stamp, DropsPort: c.Can().DropsPort,
		Controller: names["controller"], Agent: names["agent"], Twin: names["twin"],
	}, names["standin"], nil
}

// pushed are the images as they are named in a registry, by digest: those of a layout
// that is named, those that were released with this program, or those beside it.
func pushed(layout, registry string) (map[string]string, error) {
	if layout == "" && images.Released != "" {
		return images.ReleasedReferences(registry)
	}
	l, err := ownImages(layout)
	if err != nil {
		return nil, err
	}
	return l.References(registry)
}

// ownImages is openImages for what this program installs. The folder beside it may be left
// of another version, whose images it takes only where they are named.
func ownImages(folder string) (*images.Layout, error) {
	l, err := openImages(folder)
	if err != nil || folder != "" {
		return l, err
	}
	for _, i := range l.Images {
		if i.Version != lab.Stamp {
			return nil, fmt.Errorf("%w: image %s in %s is of version %s, and this program is %s: build them with `make images`, unpack this release's with `tightrope images load FILE`, or name the folder with --image-layout",
				images.ErrNoLayout, i.Name, l.Dir, report.Sanitize(i.Version), lab.Stamp)
		}
	}
	return l, nil
}

// shut closes the cluster, also after an interruption.
func shut(ctx context.Context, c clusters.Cluster) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer stop()
	return labError(c.Close(ctx))
}

// commandLine is words as a shell takes them.
func commandLine(words []string) string {
	words = slices.Clone(words)
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}
