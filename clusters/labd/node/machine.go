package node

import (
	"context"

	cadvisor "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cm"
)

// What a node says it has. It is a claim: containers have no limits, and the
// scheduler shall refuse no pod for want of room.
const (
	cores   = 32
	memory  = 64 << 30  // bytes
	storage = 256 << 30 // bytes, ephemeral
	maxPods = 250
)

// machine is the node's hardware as the kubelet asks cadvisor for it. Usage is
// not measured: all of it is empty, not zero.
type machine struct{ name string }

func (machine) Start() error { return nil }

func (machine) ContainerInfoV2(string, cadvisor.RequestOptions) (map[string]cadvisor.ContainerInfo, error) {
	return map[string]cadvisor.ContainerInfo{}, nil
}

func (machine) GetRequestedContainersInfo(string, cadvisor.RequestOptions) (map[string]*cadvisor.ContainerInfo, error) {
	return map[string]*cadvisor.ContainerInfo{}, nil
}

// MachineInfo has the node's name for its identities: several nodes share a machine.
func (m machine) MachineInfo(klog.Logger) (*cadvisor.MachineInfo, error) {
	return &cadvisor.MachineInfo{NumCores: cores, MemoryCapacity: memory, MachineID: m.name, SystemUUID: m.name, BootID: m.name}, nil
}

func (machine) VersionInfo() (*cadvisor.VersionInfo, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	return &cadvisor.VersionInfo{KernelVersion: unix.ByteSliceToString(u.Release[:]), ContainerOsVersion: "Tightrope lab"}, nil
}

func (machine) fs() (cadvisor.FsInfo, error) {
	return cadvisor.FsInfo{Device: "tmpfs", Mountpoint: "/", Capacity: storage, Available: storage}, nil
}

func (m machine) ImagesFsInfo(context.Context) (cadvisor.FsInfo, error)    { return m.fs() }
func (m machine) ContainerFsInfo(context.Context) (cadvisor.FsInfo, error) { return m.fs() }
func (m machine) RootFsInfo() (cadvisor.FsInfo, error)                     { return m.fs() }
func (m machine) GetDirFsInfo(string) (cadvisor.FsInfo, error)             { return m.fs() }

// noCgroups is the kubelet's stub, which manages nothing, with room for pods that
// ask for ephemeral storage.
type noCgroups struct{ cm.ContainerManager }

// NewPodContainerManager answers for every pod that it has no limits. The stub's
// is an error, which the kubelet logs twice per pod and sync.
func (n noCgroups) NewPodContainerManager() cm.PodContainerManager {
	return noPodCgroups{n.ContainerManager.NewPodContainerManager()}
}

type noPodCgroups struct{ cm.PodContainerManager }

func (noPodCgroups) GetPodCgroupConfig(*corev1.Pod, corev1.ResourceName) (*cm.ResourceConfig, error) {
	return nil, nil // the kubelet reads nil as no limits, and panics on a config whose fields are nil
}

func (noCgroups) GetCapacity(klog.Logger, bool) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceEphemeralStorage: *resource.NewQuantity(storage, resource.BinarySI)}
}
