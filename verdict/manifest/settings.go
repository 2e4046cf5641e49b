package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
)

// Settings are what a ConfigMap holds that some container takes its environment or
// files from. No verdict depends on them: lint looks there for what pods call.
type Settings struct {
	Source
	Data map[string]string
}

// SettingsOf finds those of a ConfigMap of the input; false if no container takes
// anything from it, or there is none.
func (s *Set) SettingsOf(namespace, name string) (Settings, bool) {
	i := slices.IndexFunc(s.Objects.Settings, func(o Settings) bool { return o.Namespace == namespace && o.Name == name })
	if i < 0 {
		return Settings{}, false
	}
	return s.Objects.Settings[i], true
}

// settle reads the ConfigMaps that the workloads' containers name. Of two of one name
// the later one counts, as it does for whoever applies both.
func (r *reading) settle(s *Set) {
	named := map[string]bool{}
	for _, w := range s.Workloads {
		if w.Template == nil {
			continue
		}
		for _, name := range configMapsOf(&w.Template.Spec) {
			named[w.Namespace+"/"+name] = true
		}
	}
	last := map[string]int{}
	for i, at := range r.maps {
		if named[at.Namespace+"/"+at.Name] {
			last[at.Namespace+"/"+at.Name] = i
		}
	}
	for i, at := range r.maps {
		if which, ok := last[at.Namespace+"/"+at.Name]; ok && which == i && len(s.Objects.Settings) < maxGathered {
			s.Objects.Settings = append(s.Objects.Settings, Settings{at, texts(aliased(at.Node(), "data"))})
		}
	}
	if r.skipped["ConfigMap"] -= len(s.Objects.Settings); r.skipped["ConfigMap"] <= 0 {
		delete(r.skipped, "ConfigMap")
	}
}

// configMapsOf lists the ConfigMaps that a pod takes its environment or files from.
func configMapsOf(spec *corev1.PodSpec) []string {
	var all []string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				all = append(all, from.ConfigMapRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				all = append(all, e.ValueFrom.ConfigMapKeyRef.Name)
			}
		}
	}
	for _, v := range spec.Volumes {
		all = append(all, MountedConfigMaps(&v)...)
	}
	return all
}

// MountedConfigMaps lists the ConfigMaps whose values are files of the volume.
func MountedConfigMaps(v *corev1.Volume) []string {
	var all []string
	if v.ConfigMap != nil {
		all = append(all, v.ConfigMap.Name)
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.ConfigMap != nil {
				all = append(all, source.ConfigMap.Name)
			}
		}
	}
	return all
}

// aliased is field of what an alias may stand for.
func aliased(n *yaml.Node, name string) *yaml.Node {
	n = field(n, name)
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// texts are the values of a mapping that are text.
func texts(n *yaml.Node) map[string]string {
	all := map[string]string{}
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		value := n.Content[i+1]
		for value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if value.Kind == yaml.ScalarNode {
			all[n.Content[i].Value] = value.Value
		}
	}
	return all
}
