package random

import (
	"maps"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Change is one change of a world. Exactly one field is set.
type Change struct {
	SetPod       *verdict.Pod    `json:",omitempty"`
	DeletePod    string          `json:",omitempty"` // namespace/name
	SetPolicy    *verdict.Policy `json:",omitempty"`
	DeletePolicy string          `json:",omitempty"` // namespace/name
	SetNamespace *Namespace      `json:",omitempty"`
}

// Namespace is a namespace and its labels.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// To makes the change in an engine.
func (c Change) To(e *verdict.Engine) {
	switch {
	case c.SetPod != nil:
		e.SetPod(*c.SetPod)
	case c.DeletePod != "":
		e.DeletePod(c.DeletePod)
	case c.SetPolicy != nil:
		e.SetPolicy(*c.SetPolicy)
	case c.DeletePolicy != "":
		e.DeletePolicy(c.DeletePolicy)
	case c.SetNamespace != nil:
		e.SetNamespace(c.SetNamespace.Name, c.SetNamespace.Labels)
	}
}

// Then returns the world and its pods after the change, and leaves those given
// as they are.
func (c Change) Then(w verdict.World, pods []verdict.Pod) (verdict.World, []verdict.Pod) {
	switch {
	case c.SetPod != nil:
		pods = set(pods, *c.SetPod, verdict.Pod.Key)
	case c.DeletePod != "":
		pods = without(pods, c.DeletePod, verdict.Pod.Key)
	case c.SetPolicy != nil:
		w.Policies = set(w.Policies, *c.SetPolicy, verdict.Policy.Key)
	case c.DeletePolicy != "":
		w.Policies = without(w.Policies, c.DeletePolicy, verdict.Policy.Key)
	case c.SetNamespace != nil:
		w.Namespaces = maps.Clone(w.Namespaces)
		w.Namespaces[c.SetNamespace.Name] = c.SetNamespace.Labels
	}
	return w, pods
}

func set[T any](all []T, one T, key func(T) string) []T {
	return append(without(all, key(one), key), one)
}

func without[T any](all []T, name string, key func(T) string) []T {
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return key(t) == name })
}

// Change makes a change, and makes it in the world that further choices are about.
func (d *Dice) Change() Change {
	w := d.world
	c := d.change()
	w.World, w.pods = c.Then(w.World, w.pods)
	return c
}

func (d *Dice) change() Change {
	w := d.world
	switch d.IntN(8) {
	case 0, 1:
		p := d.pod(d.name("p"))
		if len(w.pods) > 0 && d.one(2) { // the same pod, otherwise
			old := pick(d, w.pods...)
			p.Namespace, p.Name = old.Namespace, old.Name
		}
		return Change{SetPod: &p}
	case 2:
		if len(w.pods) > 1 {
			return Change{DeletePod: pick(d, w.pods...).Key()}
		}
	case 3, 4:
		p := d.policy(d.name("np"))
		if len(w.Policies) > 0 && d.one(2) {
			old := pick(d, w.Policies...)
			p.Namespace, p.Name = old.Namespace, old.Name
		}
		return Change{SetPolicy: &p}
	case 5:
		if len(w.Policies) > 0 {
			return Change{DeletePolicy: pick(d, w.Policies...).Key()}
		}
	}
	return Change{SetNamespace: &Namespace{pick(d, namespaces...), d.labels()}}
}
