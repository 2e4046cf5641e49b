package random

import (
	"maps"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Change is one change of a world. Exactly one field is set.
type Change struct {
	SetPod              *verdict.Pod           `json:",omitempty"`
	DeletePod           string                 `json:",omitempty"` // namespace/name
	SetPolicy           *verdict.Policy        `json:",omitempty"`
	DeletePolicy        string                 `json:",omitempty"` // namespace/name
	SetNamespace        *Namespace             `json:",omitempty"`
	DeleteNamespace     string                 `json:",omitempty"`
	SetClusterPolicy    *verdict.ClusterPolicy `json:",omitempty"`
	DeleteClusterPolicy string                 `json:",omitempty"`
	SetForeign          *[]verdict.Foreign     `json:",omitempty"` // all of them
	SetNodes            *[]verdict.Node        `json:",omitempty"` // all of them
}

// Namespace is a namespace and its labels.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// To makes the change in an engine.
func (c Change) To(e *verdict.Changes) {
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
	case c.DeleteNamespace != "":
		e.DeleteNamespace(c.DeleteNamespace)
	case c.SetClusterPolicy != nil:
		e.SetClusterPolicy(*c.SetClusterPolicy)
	case c.DeleteClusterPolicy != "":
		e.DeleteClusterPolicy(c.DeleteClusterPolicy)
	case c.SetForeign != nil:
		e.SetForeign(*c.SetForeign)
	case c.SetNodes != nil:
		e.SetNodes(*c.SetNodes)
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
	case c.DeleteNamespace != "":
		w.Namespaces = maps.Clone(w.Namespaces)
		delete(w.Namespaces, c.DeleteNamespace)
	case c.SetClusterPolicy != nil:
		w.ClusterPolicies = set(w.ClusterPolicies, *c.SetClusterPolicy, nameOf)
	case c.DeleteClusterPolicy != "":
		w.ClusterPolicies = without(w.ClusterPolicies, c.DeleteClusterPolicy, nameOf)
	case c.SetForeign != nil:
		w.Foreign = *c.SetForeign
	case c.SetNodes != nil:
		w.Nodes = *c.SetNodes
	}
	return w, pods
}

func nameOf(p verdict.ClusterPolicy) string { return p.Name }

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
	switch d.IntN(12) {
	case 0, 1, 2:
		return d.changePod()
	case 3, 4, 5:
		return d.changePolicy()
	case 6, 7:
		if d.style.cluster {
			return d.changeClusterPolicy()
		}
	case 8:
		all := append([]verdict.Node{}, some(d, 3, d.node)...)
		for i := range all[:min(len(all), len(d.world.Nodes))] {
			all[i].Name = d.world.Nodes[i].Name
		}
		return Change{SetNodes: &all}
	case 9:
		if d.style.foreign {
			all := append([]verdict.Foreign{}, some(d, 2, d.foreign)...)
			return Change{SetForeign: &all}
		}
	case 10:
		if d.style.strange {
			return Change{DeleteNamespace: pick(d, namespaces...)}
		}
	}
	return Change{SetNamespace: &Namespace{pick(d, namespaces...), d.labels()}}
}

// changePod sets a new pod or a known one otherwise, or deletes one.
func (d *Dice) changePod() Change {
	all := d.world.pods
	if len(all) > 1 && d.one(3) {
		return Change{DeletePod: pick(d, all...).Key()}
	}
	p := d.pod(d.name("p"))
	if len(all) > 0 && d.one(2) {
		old := pick(d, all...)
		p.Namespace, p.Name = old.Namespace, old.Name
	}
	return Change{SetPod: &p}
}

func (d *Dice) changePolicy() Change {
	all := d.world.Policies
	if len(all) > 0 && d.one(3) {
		return Change{DeletePolicy: pick(d, all...).Key()}
	}
	p := d.policy(d.name("np"))
	if len(all) > 0 && d.one(2) {
		old := pick(d, all...)
		p.Namespace, p.Name = old.Namespace, old.Name
	}
	return Change{SetPolicy: &p}
}

func (d *Dice) changeClusterPolicy() Change {
	all := d.world.ClusterPolicies
	if len(all) > 0 && d.one(3) {
		return Change{DeleteClusterPolicy: pick(d, all...).Name}
	}
	p := d.clusterPolicy(d.name("cnp"))
	if len(all) > 0 && d.one(2) {
		p.Name = pick(d, all...).Name
	}
	return Change{SetClusterPolicy: &p}
}
