package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
)

// sandbox is a pod's network and IPC namespaces, with its address and its shared
// memory. There is no pause process: a thread of ours keeps the namespaces.
type sandbox struct {
	id      string
	config  *runtimeapi.PodSandboxConfig // never written to
	created time.Time
	space   *podnet.Space
	link    *podnet.Link
	addrs   []netip.Addr // one of each family; the first is the pod's address
	shm     string       // the directory that is /dev/shm of its containers

	ready bool // guarded by Runtime.mu
}

func (s *sandbox) pod() Pod {
	m := s.config.GetMetadata()
	return Pod{Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUid()}
}

// onNode is true of a pod with hostNetwork: it has the node's network, and no
// address, link or policies of its own.
func (s *sandbox) onNode() bool {
	return s.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE
}

// newID is 64 hexadecimal digits, as other runtimes' are.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// RunPodSandbox gives a pod its network. The pod's policies are in force before
// its first packet can pass.
func (r *Runtime) RunPodSandbox(ctx context.Context, c *runtimeapi.PodSandboxConfig, handler string) (string, error) {
	if err := refusePod(c, handler); err != nil {
		return "", err
	}
	s := &sandbox{id: newID(), config: c, created: time.Now(), ready: true}
	s.shm = filepath.Join(r.shmRoot, s.id)
	if err := r.connect(ctx, s); err != nil {
		r.disconnect(s)
		return "", err
	}
	r.mu.Lock()
	r.sandboxes[s.id] = s
	r.mu.Unlock()
	return s.id, nil
}

// connectLimit bounds the wait for a pod's policies. The kubelet sets no bound; a
// pod that waits for ever says nothing, one that fails has an event and another try.
const connectLimit = 15 * time.Second

// connect stops at the first error; disconnect undoes what it did.
func (r *Runtime) connect(ctx context.Context, s *sandbox) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("not done after %v", connectLimit))
	defer cancel()
	if s.onNode() {
		if s.space, err = podnet.NodeSpace(); err != nil {
			return err
		}
		return s.space.Do(s.furnish)
	}
	if s.space, err = podnet.OpenSpace(); err != nil {
		return err
	}
	if s.addrs, err = r.addresses.Take(); err != nil {
		return err
	}
	if s.link, err = podnet.Prepare(s.space, "pod"+s.id[:12], s.addrs...); err != nil {
		return err
	}
	if err := s.space.Do(s.furnish); err != nil {
		return err
	}
	if err := r.network.AddPod(ctx, s.pod(), s.addrs...); err != nil {
		return err
	}
	return s.link.Up()
}

// furnish makes, on the pod's thread, what its containers share besides the network.
func (s *sandbox) furnish() error {
	if !s.onNode() {
		if err := setSysctls(unprivileged); err != nil {
			return err
		}
	}
	if err := setSysctls(s.config.GetLinux().GetSysctls()); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("make an IPC namespace: %w", err)
	}
	if err := os.Mkdir(s.shm, 0o777); err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	return os.Chmod(s.shm, 0o777|os.ModeSticky)
}

// unprivileged lets every program of a pod listen on any port and send pings, as
// containerd does: both are about the pod's own network. Group 0 is the one that
// the lab has, whatever the group is called inside.
var unprivileged = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 0"}

// setSysctls writes to the namespace of the calling thread.
func setSysctls(values map[string]string) error {
	for name, value := range values {
		file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

// disconnect takes a pod's network away. The address is free only when nothing
// leads to it any more.
func (r *Runtime) disconnect(s *sandbox) {
	if s.link != nil {
		if err := s.link.Down(); err != nil {
			r.log.Error("a pod's link stays behind", "pod", s.pod(), "error", err)
		}
	}
	if s.space != nil {
		s.space.Close()
	}
	if err := os.RemoveAll(s.shm); err != nil {
		r.log.Error("a pod's shared memory stays behind", "pod", s.pod(), "error", err)
	}
	if len(s.addrs) > 0 {
		r.network.RemovePod(s.pod())
		r.addresses.Give(s.addrs)
	}
}

// StopPodSandbox kills what still runs in the pod and takes its network away. A
// sandbox that is gone already is fine.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	r.mu.Lock()
	s := r.sandboxes[id]
	if s == nil || !s.ready {
		r.mu.Unlock()
		return nil
	}
	s.ready = false
	var inside []*process
	for _, p := range r.containers {
		if p.sandbox == s {
			inside = append(inside, p)
		}
	}
	r.mu.Unlock()
	var errs []error
	for _, p := range inside {
		errs = append(errs, p.stop(ctx, 0))
	}
	r.disconnect(s)
	return errors.Join(errs...)
}

// RemovePodSandbox stops the pod and forgets it, with its containers.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for cid, p := range r.containers {
		if p.sandbox.id == id {
			delete(r.containers, cid)
		}
	}
	delete(r.sandboxes, id)
	return nil
}
