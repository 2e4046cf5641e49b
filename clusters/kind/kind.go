// Package kind hosts a rollout on a kind cluster of its own: Kubernetes in containers
// of Docker, Podman or nerdctl, through kind's library. It is gone when it is closed.
package kind

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"

	"github.com/tightrope-dev/tightrope/clusters"
)

const (
	// prefix begins the names of clusters that are made here; the process ID follows.
	prefix = "tightrope-"
	// readyWithin bounds how long the nodes may take to be Ready.
	readyWithin = 5 * time.Minute
	// deleteWithin bounds how long deleting may take after an interruption.
	deleteWithin = 2 * time.Minute
)

// ErrUnavailable is that there is nothing to run kind's containers with.
var ErrUnavailable = errors.New("kind is not usable here")

// Options say what cluster to make. The zero value is kind's own default.
type Options struct {
	Name     string                                   // empty: tightrope-PID, which tells what was left of a killed process
	Image    string                                   // of the nodes; empty: kind's default
	Config   string                                   // file, as of kind create cluster --config; empty: one node
	Keep     bool                                     // Close leaves it, and says how to delete it
	Archive  func(arch string) (io.ReadCloser, error) // images that every node gets, as docker save writes them; nil: none
	Images   map[string]string                        // their names, by program
	Progress func(string)                             // called in order, from one goroutine at a time; may be nil
}

// Names are those of every kind cluster of this machine, whoever has made it.
func Names() ([]string, error) {
	found, err := runtime()
	if err != nil {
		return nil, err
	}
	return list(cluster.NewProvider(found))
}

// Cluster is a kind cluster that was made here.
type Cluster struct {
	o                Options
	name, kubeconfig string
	folder           string // of the kubeconfig
	config           *rest.Config
	runtime          cluster.ProviderOption
	provider         *cluster.Provider
	saying           sync.Mutex
}

var _ clusters.Cluster = (*Cluster)(nil)

// Open makes a cluster and loads the images onto its nodes. When ctx ends first, or
// anything fails, the cluster is deleted. The user's own kubeconfig is not touched.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	found, err := runtime()
	if err != nil {
		return nil, err
	}
	c := &Cluster{o: o, name: cmp.Or(o.Name, prefix+strconv.Itoa(os.Getpid())), runtime: found}
	c.provider = cluster.NewProvider(cluster.ProviderWithLogger(logger{c.say}), found)
	names, err := list(c.provider)
	if err == nil {
		err = c.free(names)
	}
	if err != nil {
		return nil, err
	}
	if c.folder, err = folderOf(); err != nil {
		return nil, err
	}
	c.kubeconfig = filepath.Join(c.folder, "kubeconfig")
	if err := c.create(ctx); errors.Is(err, ErrTaken) { // it is somebody's
		return nil, errors.Join(err, os.RemoveAll(c.folder))
	} else if err != nil {
		c.o.Keep = false
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), deleteWithin)
		defer stop()
		return nil, errors.Join(err, c.late(end), c.Close(end))
	}
	return c, nil
}

// late waits for containers that were being made when the creation failed: kind makes
// them at the same time, and gives up with the first that fails.
func (c *Cluster) late(ctx context.Context) error {
	if err := c.remove(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(again):
	}
	return nil
}

func (c *Cluster) say(line string) {
	c.saying.Lock()
	defer c.saying.Unlock()
	if c.o.Progress != nil {
		c.o.Progress(line)
	}
}

func (c *Cluster) create(ctx context.Context) error {
	c.say(fmt.Sprintf("creating kind cluster %s; if this process is killed, delete it with: %s", c.name, deletion(c.name)))
	options := []cluster.CreateOption{
		cluster.CreateWithKubeconfigPath(c.kubeconfig), cluster.CreateWithWaitForReady(0), // ready waits
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false),
	}
	if c.o.Image != "" {
		options = append(options, cluster.CreateWithNodeImage(c.o.Image))
	}
	if c.o.Config != "" {
		options = append(options, cluster.CreateWithConfigFile(c.o.Config))
	}
	if err := c.make(ctx, options); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig of kind cluster %s: %w", c.name, err)
	}
	config.QPS = -1
	c.config = config
	if err := c.ready(ctx); err != nil {
		return err
	}
	return c.load(ctx)
}

// load puts the images onto every node, as kind load image-archive does.
func (c *Cluster) load(ctx context.Context) error {
	if c.o.Archive == nil {
		return nil
	}
	nodes, err := c.provider.ListInternalNodes(c.name)
	if err != nil {
		return fmt.Errorf("nodes of kind cluster %s: %w", c.name, said(err))
	}
	for _, node := range nodes {
		if ctx.Err() != nil {
			return fmt.Errorf("images were not loaded: %w", context.Cause(ctx))
		}
		arch, err := architecture(node)
		if err != nil {
			return fmt.Errorf("architecture of node %s: %w", node, said(err))
		}
		archive, err := c.o.Archive(arch)
		if err != nil {
			return err
		}
		c.say("loading images onto node " + node.String())
		err = errors.Join(nodeutils.LoadImageArchive(node, archive), archive.Close())
		if err != nil {
			return fmt.Errorf("load images onto node %s: %w", node, said(err))
		}
	}
	return nil
}

// Name is what kind calls it.
func (c *Cluster) Name() string { return "kind-" + c.name }

// Kubeconfig is the path of a file with an administrator's credentials. It goes when
// the cluster does.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// CopyLogs writes what the cluster's nodes logged into a folder.
func (c *Cluster) CopyLogs(folder string) error {
	if err := c.provider.CollectLogs(c.name, folder); err != nil {
		return fmt.Errorf("logs of kind cluster %s: %w", c.name, said(err))
	}
	return nil
}

// LoadArchive puts the images of an archive, as docker save writes it, onto every node.
func (c *Cluster) LoadArchive(ctx context.Context, open func(arch string) (io.ReadCloser, error)) error {
	c.o.Archive = open
	return c.load(ctx)
}

// Config has an administrator's credentials.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubectl names the kubeconfig that was made for the cluster.
func (c *Cluster) Kubectl() []string { return []string{"kubectl", "--kubeconfig", c.kubeconfig} }

// Can is what any cluster can, and it is the caller's own unless it is kept.
func (c *Cluster) Can() clusters.Capabilities {
	return clusters.Capabilities{Own: !c.o.Keep, Images: c.o.Images}
}

// Close deletes the cluster, or says how to.
func (c *Cluster) Close(ctx context.Context) error {
	if c.o.Keep {
		c.say(fmt.Sprintf("kind cluster %s is kept: %s; delete it with: %s", c.name, strings.Join(c.Kubectl(), " "), deletion(c.name)))
		return os.WriteFile(filepath.Join(c.folder, keptFile), nil, 0o600)
	}
	if err := c.remove(ctx); err != nil {
		return err
	}
	return os.RemoveAll(c.folder)
}

// remove deletes the cluster's nodes, however many there are.
func (c *Cluster) remove(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.provider.Delete(c.name, c.kubeconfig) }() // ends with the programs that it runs
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("delete kind cluster %s: %w; delete it with: %s", c.name, said(err), deletion(c.name))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kind cluster %s is not deleted: %w; delete it with: %s", c.name, context.Cause(ctx), deletion(c.name))
	}
}
