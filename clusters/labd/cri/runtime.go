package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
)

// Name and Version are what nodes report: containerRuntimeVersion lab://1.0.0.
const (
	Name    = "lab"
	Version = "1.0.0"
)

// Pod names a pod to the Network.
type Pod struct{ Namespace, Name, UID string }

// Network is told of every pod address before the pod can send or receive.
type Network interface {
	// AddPod returns when the node enforces the pod's policies. An error keeps the pod from starting.
	AddPod(ctx context.Context, p Pod, addrs ...netip.Addr) error
	// RemovePod returns at once.
	RemovePod(p Pod)
}

// Config is what a Runtime needs; all fields are required but Unpacked and Log.
type Config struct {
	Dir      string            // of the runtime's own files; created
	PodCIDRs []string          // the node's ranges, one of each family
	Images   map[string]string // image name → path of a program, and arguments
	Unpacked []oci.Image       // out of a layout
	Network  Network
	Init     string       // path of a program with package container in it: a small one starts fast
	Log      *slog.Logger // nil: slog.Default
}

// Runtime implements the kubelet's RuntimeService. Make it with New. Its pods end
// with the process.
type Runtime struct {
	notBuilt // what this runtime refuses

	images    *Images
	addresses podnet.Ranges
	network   Network
	log       *slog.Logger
	init      string // of containers
	mountRoot string // the empty directory that containers mount their roots on
	shmRoot   string // a directory per pod
	terminals terminals
	streams   *streams

	mu         sync.Mutex // guards the maps and the fields of what they hold that change
	sandboxes  map[string]*sandbox
	containers map[string]*process
	events     chan *runtimeapi.ContainerEventResponse // nil while nobody listens
}

var _ internalapi.RuntimeService = (*Runtime)(nil)

// New checks the configuration, makes the runtime's directories and listens for
// exec, attach and port-forward. Close it.
func New(c Config) (*Runtime, error) {
	addresses, err := podnet.NewRanges(c.PodCIDRs...)
	if err != nil {
		return nil, err
	}
	images, err := NewImages(c.Images, c.Unpacked)
	if err != nil {
		return nil, err
	}
	root, shm := filepath.Join(c.Dir, "rootfs"), filepath.Join(c.Dir, "shm")
	if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(shm, 0o755)); err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	r := &Runtime{images: images, addresses: addresses, network: c.Network, log: c.Log, init: c.Init, mountRoot: root, shmRoot: shm,
		sandboxes: map[string]*sandbox{}, containers: map[string]*process{}}
	if r.terminals, err = openTerminals(filepath.Join(c.Dir, "terminals")); err != nil {
		return nil, err
	}
	if r.streams, err = serveStreams(r); err != nil {
		return nil, errors.Join(err, r.terminals.close())
	}
	return r, nil
}

// Images is the image service that belongs to this runtime.
func (r *Runtime) Images() *Images { return r.images }

// Version tells the kubelet's version check what it wants to hear.
func (r *Runtime) Version(context.Context, string) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: Name, RuntimeVersion: Version, RuntimeApiVersion: "v1"}, nil
}

// Status is always ready: the runtime lives in the kubelet's process.
func (r *Runtime) Status(context.Context, bool) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			{Type: runtimeapi.RuntimeReady, Status: true},
			{Type: runtimeapi.NetworkReady, Status: true},
		}},
		RuntimeHandlers: []*runtimeapi.RuntimeHandler{{Features: &runtimeapi.RuntimeHandlerFeatures{}}},
		Features:        &runtimeapi.RuntimeFeatures{},
	}, nil
}

// RuntimeConfig says nothing: there are no cgroups here.
func (r *Runtime) RuntimeConfig(context.Context) (*runtimeapi.RuntimeConfigResponse, error) {
	return &runtimeapi.RuntimeConfigResponse{}, nil
}

// UpdateRuntimeConfig accepts the pod range that the runtime already has.
func (r *Runtime) UpdateRuntimeConfig(context.Context, *runtimeapi.RuntimeConfig) error { return nil }

// Close ends every pod and every connection.
func (r *Runtime) Close(ctx context.Context) error {
	r.streams.close()
	r.mu.Lock()
	var ids []string
	for id := range r.sandboxes {
		ids = append(ids, id)
	}
	r.mu.Unlock()
	for _, id := range ids {
		if err := r.RemovePodSandbox(ctx, id); err != nil {
			return err
		}
	}
	return r.terminals.close()
}
