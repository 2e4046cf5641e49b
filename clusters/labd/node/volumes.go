package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/secret"
)

// volumePlugins are the volume types the lab has. A pod that asks for another one
// stays pending with an event that says so.
func volumePlugins() (all []volume.VolumePlugin) {
	for _, plugins := range [][]volume.VolumePlugin{emptydir.ProbeVolumePlugins(), configmap.ProbeVolumePlugins(),
		secret.ProbeVolumePlugins(), projected.ProbeVolumePlugins(), downwardapi.ProbeVolumePlugins()} {
		for _, p := range plugins {
			all = append(all, oneUser{p})
		}
	}
	return all
}

// oneUser is a plugin whose volumes belong to the lab's only user. With one id
// mapped, a change of ownership for runAsUser or fsGroup fails, and the pod with it.
type oneUser struct{ volume.VolumePlugin }

func (p oneUser) NewMounter(spec *volume.Spec, pod *corev1.Pod) (volume.Mounter, error) {
	m, err := p.VolumePlugin.NewMounter(spec, pod)
	if err != nil {
		return nil, err
	}
	return oneUserMounter{m}, nil
}

type oneUserMounter struct{ volume.Mounter }

func (m oneUserMounter) SetUp(args volume.MounterArgs) error {
	return m.Mounter.SetUp(withoutOwner(args))
}

func (m oneUserMounter) SetUpAt(dir string, args volume.MounterArgs) error {
	return m.Mounter.SetUpAt(dir, withoutOwner(args))
}

func withoutOwner(args volume.MounterArgs) volume.MounterArgs {
	args.FsUser, args.FsGroup = nil, nil
	return args
}
