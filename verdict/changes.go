package verdict

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Changes are made to an Engine in one step. See Engine for what each does.
type Changes struct{ c *compiler }

// SetPod adds the pod, or replaces the one of that key.
func (x *Changes) SetPod(p Pod) {
	c := x.c
	key := p.Key()
	id, ok := c.ids.get(key)
	if !ok {
		id = c.newPod()
		c.ids.set(key, id)
	}
	m := c.memberOf(&p)
	old := c.podMember[id]
	if old != m {
		m.pods = append(m.pods, id)
	}
	if ok {
		c.countHost(*c.next.pods.at(int(id)), -1)
	}
	c.countHost(&p, 1)
	c.next.pods.set(int(id), &p)
	c.podMember[id] = m
	c.put(id, c.placeOf(id))
	if old != nil && old != m {
		c.leave(old, id)
	}
}

// DeletePod removes the pod of that key (namespace/name), if there is one.
func (x *Changes) DeletePod(key string) {
	c := x.c
	id, ok := c.ids.get(key)
	if !ok {
		return
	}
	c.ids.delete(key)
	c.countHost(*c.next.pods.at(int(id)), -1)
	c.next.pods.set(int(id), nil)
	c.put(id, place{flags: free})
	c.leave(c.podMember[id], id)
	c.podMember[id] = nil
	c.freePods = append(c.freePods, id)
}

// SetPolicy adds the policy, or replaces the one of that key.
func (x *Changes) SetPolicy(p Policy) { x.c.replacePolicy(p.Namespace, p.Name, &p) }

// DeletePolicy removes the policy of that key (namespace/name), if there is one.
func (x *Changes) DeletePolicy(key string) {
	ns, name, _ := strings.Cut(key, "/")
	x.c.replacePolicy(ns, name, nil)
}

// SetNamespace sets the labels of a namespace; nil means that it has none.
func (x *Changes) SetNamespace(name string, own map[string]string) {
	labels := map[string]string{corev1.LabelMetadataName: name}
	maps.Copy(labels, own)
	x.c.relabel(name, true, own, labels)
}

// DeleteNamespace makes the labels of the namespace unknown.
func (x *Changes) DeleteNamespace(name string) { x.c.relabel(name, false, nil, nil) }

// SetClusterPolicy adds the policy, or replaces the one of that name.
func (x *Changes) SetClusterPolicy(p ClusterPolicy) {
	x.DeleteClusterPolicy(p.Name)
	cl := x.c.ownCluster()
	cl.policies = append(cl.policies, &clusterPolicy{ClusterPolicy: p})
	slices.SortFunc(cl.policies, func(a, b *clusterPolicy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), strings.Compare(a.Name, b.Name))
	})
}

// DeleteClusterPolicy removes the policy of that name, if there is one.
func (x *Changes) DeleteClusterPolicy(name string) {
	named := func(p *clusterPolicy) bool { return p.Name == name }
	if slices.ContainsFunc(x.c.next.cluster.policies, named) {
		cl := x.c.ownCluster()
		cl.policies = slices.DeleteFunc(cl.policies, named)
	}
}

// SetForeign replaces the whole list of policies that are not understood.
func (x *Changes) SetForeign(all []Foreign) {
	if len(all)+len(x.c.next.cluster.foreign) > 0 {
		x.c.ownCluster().foreign = slices.Clone(all)
	}
}

// SetNodes replaces the whole list of nodes.
func (x *Changes) SetNodes(all []Node) {
	if len(all)+len(x.c.next.cluster.nodes) == 0 {
		return
	}
	cl := x.c.ownCluster()
	cl.nodes = slices.Clone(all)
	for i := range cl.nodes {
		cl.nodes[i].IPs = canonical(cl.nodes[i].IPs)
	}
}
