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
	"syscall"
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
	runtime, err := cluster.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	names, err := cluster.NewProvider(runtime).List()
	if err != nil {
		return nil, fmt.Errorf("%w: list kind clusters: %w", ErrUnavailable, err)
	}
	return names, nil
}

// Cluster is a kind cluster that was made here.
type Cluster struct {
	o                Options
	name, kubeconfig string
	folder           string // of the kubeconfig
	config           *rest.Config
	provider         *cluster.Provider
}

var _ clusters.Cluster = (*Cluster)(nil)

// Open makes a cluster and loads the images onto its nodes. When ctx ends first, or
// anything fails, the cluster is deleted. The user's own kubeconfig is not touched.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	runtime, err := cluster.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: %w; kind needs Docker, Podman or nerdctl, running and usable by you (docker version)", ErrUnavailable, err)
	}
	folder, err := os.MkdirTemp("", "tightrope-kind-*")
	if err != nil {
		return nil, err
	}
	c := &Cluster{o: o, name: cmp.Or(o.Name, prefix+strconv.Itoa(os.Getpid())), folder: folder, kubeconfig: filepath.Join(folder, "kubeconfig")}
	c.provider = cluster.NewProvider(cluster.ProviderWithLogger(logger{c.say}), runtime)
	if err := c.free(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := c.create(ctx); errors.Is(err, ErrTaken) { // it is somebody's
		return nil, errors.Join(err, os.RemoveAll(folder))
	} else if err != nil {
		c.o.Keep = false
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), deleteWithin)
		defer stop()
		return nil, errors.Join(err, c.Close(end))
	}
	return c, nil
}

func (c *Cluster) say(line string) {
	if c.o.Progress != nil {
		c.o.Progress(line)
	}
}

func (c *Cluster) create(ctx context.Context) error {
	c.say("creating kind cluster " + c.name)
	options := []cluster.CreateOption{
		cluster.CreateWithKubeconfigPath(c.kubeconfig), cluster.CreateWithWaitForReady(readyWithin),
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false),
	}
	if c.o.Image != "" {
		options = append(options, cluster.CreateWithNodeImage(c.o.Image))
	}
	if c.o.Config != "" {
		options = append(options, cluster.CreateWithConfigFile(c.o.Config))
	}
	done := make(chan error, 1)
	go func() { done <- c.provider.Create(c.name, options...) }()
	select {
	case err := <-done:
		if err != nil && strings.Contains(err.Error(), "already exist") { // kind has no error to compare with
			return fmt.Errorf("%w: %s, made a moment ago: %w", ErrTaken, c.name, err)
		} else if err != nil {
			return fmt.Errorf("create kind cluster %s: %w", c.name, err)
		}
	case <-ctx.Done():
		// kind's library hears of no context: with its containers gone it gives up.
		_ = c.provider.Delete(c.name, c.kubeconfig)
		select {
		case <-done:
		case <-time.After(deleteWithin):
		}
		return fmt.Errorf("kind cluster %s was not ready yet: %w", c.name, context.Cause(ctx))
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig of kind cluster %s: %w", c.name, err)
	}
	config.QPS = -1
	c.config = config
	return c.load(ctx)
}

// load puts the images onto every node, as kind load image-archive does.
func (c *Cluster) load(ctx context.Context) error {
	if c.o.Archive == nil {
		return nil
	}
	nodes, err := c.provider.ListInternalNodes(c.name)
	if err != nil {
		return fmt.Errorf("nodes of kind cluster %s: %w", c.name, err)
	}
	for _, node := range nodes {
		if ctx.Err() != nil {
			return fmt.Errorf("images were not loaded: %w", context.Cause(ctx))
		}
		arch, err := architecture(node)
		if err != nil {
			return fmt.Errorf("architecture of node %s: %w", node, err)
		}
		archive, err := c.o.Archive(arch)
		if err != nil {
			return err
		}
		c.say("loading images onto node " + node.String())
		err = errors.Join(nodeutils.LoadImageArchive(node, archive), archive.Close())
		if err != nil {
			return fmt.Errorf("load images onto node %s: %w", node, err)
		}
	}
	return nil
}

// ErrTaken is that a cluster of the name is there already. It is somebody's, and stays.
var ErrTaken = errors.New("a kind cluster of that name is there")

// free refuses a name that is taken, before anything is made that might have to be
// deleted. It names the clusters that processes left which were killed.
func (c *Cluster) free() error {
	names, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("%w: list kind clusters: %w", ErrUnavailable, err)
	}
	for _, name := range names {
		if name == c.name {
			return fmt.Errorf("%w: %s; delete it with: %s", ErrTaken, name, deletion(name))
		}
		pid, ours := strings.CutPrefix(name, prefix)
		id, err := strconv.Atoi(pid)
		if !ours || err != nil || alive(id) {
			continue
		}
		c.say(fmt.Sprintf("kind cluster %s is left of a run that was killed; delete it with: %s", name, deletion(name)))
	}
	return nil
}

// alive reports whether a process has the ID, whosever it is.
func alive(id int) bool {
	p, err := os.FindProcess(id)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func deletion(name string) string { return "kind delete cluster --name " + name }

// Name is what kind calls it.
func (c *Cluster) Name() string { return "kind-" + c.name }

// Kubeconfig is the path of a file with an administrator's credentials. It goes when
// the cluster does.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// CopyLogs writes what the cluster's nodes logged into a folder.
func (c *Cluster) CopyLogs(folder string) error {
	if err := c.provider.CollectLogs(c.name, folder); err != nil {
		return fmt.Errorf("logs of kind cluster %s: %w", c.name, err)
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
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- c.provider.Delete(c.name, c.kubeconfig) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("delete kind cluster %s: %w; delete it with: %s", c.name, err, deletion(c.name))
		}
	case <-ctx.Done():
		return fmt.Errorf("kind cluster %s is not deleted: %w; delete it with: %s", c.name, context.Cause(ctx), deletion(c.name))
	}
	return os.RemoveAll(c.folder)
}
