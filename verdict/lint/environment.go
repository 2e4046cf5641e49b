package lint

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// variable is one of a container's environment. What a Secret holds, and what a
// ConfigMap that is not in the input holds, is not known.
type variable struct {
	name, value string
	from        string // the ConfigMap that it comes from; empty: written in the container
	whole       bool   // with all others of that ConfigMap
}

// String names the variable and where it is set, without its value.
func (e variable) String() string {
	if e.from == "" {
		return "variable " + e.name
	}
	return "variable " + e.name + " (ConfigMap " + e.from + ")"
}

// environment lists the variables of a container of the class, in the order in which
// they stand; of two of one name the later counts, and one of the container more than
// one of a ConfigMap, as for the kubelet.
func (v *view) environment(c *class, container *corev1.Container) []variable {
	var all []variable
	put := func(e variable) {
		all = append(slices.DeleteFunc(all, func(o variable) bool { return o.name == e.name }), e)
	}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef == nil {
			continue
		}
		settings, _ := v.set.SettingsOf(c.Namespace, from.ConfigMapRef.Name)
		for _, key := range slices.Sorted(maps.Keys(settings.Data)) {
			put(variable{from.Prefix + key, settings.Data[key], c.Namespace + "/" + settings.Name, true})
		}
	}
	for _, e := range container.Env {
		one := variable{name: e.Name, value: e.Value}
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			ref := e.ValueFrom.ConfigMapKeyRef
			settings, _ := v.set.SettingsOf(c.Namespace, ref.Name)
			one.value, one.from = settings.Data[ref.Key], c.Namespace+"/"+ref.Name
		}
		put(one)
	}
	return all
}

// toldToCall lists what the class's containers are told to call.
func (v *view) toldToCall(c *class) []target {
	if c.workload == nil || c.workload.Template == nil {
		return nil
	}
	var all []target
	put := func(by, text, of string, bare bool) {
		for _, t := range targetsIn(by, text, bare) {
			t.whole = of
			if len(all) < mostTargets && !slices.ContainsFunc(all, func(o target) bool { return o.host == t.host && o.port == t.port }) {
				all = append(all, t)
			}
		}
	}
	spec := c.workload.Template.Spec
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, e := range v.environment(c, &container) {
			if !ownNames.MatchString(e.name) {
				of := ""
				if e.whole {
					of = e.from
				}
				put(e.String(), e.value, of, hostNames.MatchString(e.name))
			}
		}
		for _, arg := range slices.Concat(container.Command, container.Args) {
			put("an argument", arg, "", false)
		}
	}
	return all
}

// proxied reports whether the containers are told to go out through a proxy.
func (v *view) proxied(c *class) bool {
	if c.workload == nil || c.workload.Template == nil {
		return false
	}
	return slices.ContainsFunc(c.workload.Template.Spec.Containers, func(container corev1.Container) bool {
		return slices.ContainsFunc(v.environment(c, &container), func(e variable) bool {
			return slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}, strings.ToUpper(e.name))
		})
	})
}

// sharers are the classes that take the whole of a ConfigMap, by namespace/name, as
// their environment, without some: those have it to be called by, not to call.
func (v *view) sharers(settings string, without []*class) []*class {
	namespace, name, _ := strings.Cut(settings, "/")
	return slices.DeleteFunc(slices.Clone(v.in(namespace)), func(c *class) bool {
		if c.workload == nil || c.workload.Template == nil || slices.Contains(without, c) {
			return true
		}
		spec := c.workload.Template.Spec
		return !slices.ContainsFunc(slices.Concat(spec.InitContainers, spec.Containers), func(container corev1.Container) bool {
			return slices.ContainsFunc(container.EnvFrom, func(from corev1.EnvFromSource) bool {
				return from.ConfigMapRef != nil && from.ConfigMapRef.Name == name
			})
		})
	})
}
