package cri

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

// ErrNotBuilt marks what the lab's runtime does not do. It is always wrapped with
// the feature's name, and reaches the user as an event of the pod.
var ErrNotBuilt = errors.New("the lab does not support it yet")

func refused(what string) error {
	return fmt.Errorf("%s: %w; leave it out, or use a kind cluster", what, ErrNotBuilt)
}

// refusePod names the first thing in a pod that would otherwise be ignored in
// silence. User and group ids are accepted: every process is the one user there is.
func refusePod(c *runtimeapi.PodSandboxConfig, handler string) error {
	ns := c.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch {
	case handler != "":
		return refused(fmt.Sprintf("runtimeClassName with handler %q", handler))
	case c.GetLinux().GetSecurityContext().GetPrivileged():
		return refused("securityContext.privileged")
	case ns.GetPid() == runtimeapi.NamespaceMode_NODE:
		return refused("hostPID")
	case ns.GetIpc() == runtimeapi.NamespaceMode_NODE:
		return refused("hostIPC")
	case ns.GetUsernsOptions() != nil && ns.GetUsernsOptions().GetMode() == runtimeapi.NamespaceMode_POD:
		return refused("hostUsers: false")
	case ns != nil && ns.GetPid() == runtimeapi.NamespaceMode_POD: // the zero mode: last, so that others are named first
		return refused("shareProcessNamespace")
	}
	for _, p := range c.GetPortMappings() {
		if p.GetHostPort() != 0 && ns.GetNetwork() != runtimeapi.NamespaceMode_NODE { // else the port is the node's anyway
			return refused(fmt.Sprintf("hostPort %d", p.GetHostPort()))
		}
	}
	for name := range c.GetLinux().GetSysctls() {
		if !strings.HasPrefix(name, "net.ipv4.") {
			return refused(fmt.Sprintf("sysctl %q", name))
		}
	}
	return nil
}

// refuseContainer does the same for a container. One that may mount could undo that
// this machine's files are shown to it read-only.
func refuseContainer(c *runtimeapi.ContainerConfig, p container.Privileges) error {
	security := c.GetLinux().GetSecurityContext()
	switch {
	case security.GetPrivileged():
		return refused("securityContext.privileged")
	case slices.Contains(p.Capabilities, capability.CAP_SYS_ADMIN):
		return refused("securityContext.capabilities with SYS_ADMIN")
	case len(security.GetCapabilities().GetAddAmbientCapabilities()) > 0:
		return refused("ambient capabilities")
	case security.GetNamespaceOptions().GetPid() == runtimeapi.NamespaceMode_TARGET:
		return refused("an ephemeral container's targetContainerName")
	case len(c.GetDevices()) > 0, len(c.GetCDIDevices()) > 0:
		return refused("devices")
	}
	for _, m := range c.GetMounts() {
		switch {
		case m.GetImage().GetImage() != "":
			return refused(fmt.Sprintf("an image volume at %s", m.GetContainerPath()))
		case m.GetPropagation() != runtimeapi.MountPropagation_PROPAGATION_PRIVATE:
			return refused(fmt.Sprintf("mountPropagation at %s", m.GetContainerPath()))
		case m.GetRecursiveReadOnly():
			return refused(fmt.Sprintf("recursiveReadOnly at %s", m.GetContainerPath()))
		}
	}
	return nil
}

// notBuilt refuses the calls of the runtime interface that the lab does not serve.
type notBuilt struct{}

func (notBuilt) CheckpointContainer(context.Context, *runtimeapi.CheckpointContainerRequest) error {
	return refused("checkpoints")
}

func (notBuilt) CheckpointPod(context.Context, *runtimeapi.CheckpointPodRequest) error {
	return refused("checkpoints")
}

func (notBuilt) RestorePod(context.Context, *runtimeapi.RestorePodRequest) (*runtimeapi.RestorePodResponse, error) {
	return nil, refused("checkpoints")
}

func (notBuilt) UpdateContainerResources(context.Context, string, *runtimeapi.ContainerResources) error {
	return refused("resizing a container")
}

func (notBuilt) UpdatePodSandboxResources(context.Context, *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	return nil, refused("resizing a pod")
}
