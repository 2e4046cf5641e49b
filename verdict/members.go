package verdict

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// member is what the compiler knows of a class.
type member struct {
	*class
	id       int32
	key      string
	home     *home
	at       int // in home.members
	pods     []PodID
	policies []selected // that may isolate it, by name
	profiles [2]*entry[profile]
	ordered  [2]bool // policies of other kinds may select it
	dirty    bool
}

// selected is a policy of which it is certain, or not, that it selects a class.
type selected struct {
	policy *networkPolicy
	doubt  bool
}

// label is a pair of which postings list the classes that have it.
type label struct{ key, value string }

func (c *compiler) mark(m *member) {
	if !m.dirty {
		m.dirty = true
		c.dirty = append(c.dirty, m)
	}
}

func (c *compiler) newPod() PodID {
	if n := len(c.freePods); n > 0 {
		id := c.freePods[n-1]
		c.freePods = c.freePods[:n-1]
		return id
	}
	id := c.next.pods.n
	c.next.pods.set(id, nil)
	c.podMember = append(c.podMember, nil)
	return PodID(id)
}

func (c *compiler) countHost(p *Pod, n int) {
	if p.HostNetwork {
		c.next.hosts += n
	}
}

// classKey spells what makes a class; the bytes that separate are in no name.
func classKey(p *Pod) string {
	var b strings.Builder
	b.WriteString(p.Namespace)
	keys := make([]string, 0, len(p.Labels))
	for k := range p.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b.WriteString("\x00" + k + "=" + p.Labels[k])
	}
	ports := make([]string, 0, len(p.Ports))
	for _, q := range p.Ports {
		ports = append(ports, fmt.Sprintf("\x01%d/%s=%s", q.Number, cmp.Or(q.Protocol, corev1.ProtocolTCP), q.Name))
	}
	slices.Sort(ports)
	for _, q := range slices.Compact(ports) {
		b.WriteString(q)
	}
	if p.HostNetwork {
		b.WriteString("\x02")
	}
	return b.String()
}

// memberOf is the class of the pod, made if there is none yet.
func (c *compiler) memberOf(p *Pod) *member {
	e, fresh := c.members.intern(classKey(p))
	if !fresh {
		return e.it
	}
	m := &member{class: &class{p.Namespace, p.Labels, p.Ports, p.HostNetwork}, id: e.id, key: e.key, home: c.homeOf(p.Namespace)}
	e.it = m
	c.next.classes.set(int(m.id), m.class)
	m.at = len(m.home.members)
	m.home.members = append(m.home.members, m)
	for k, v := range m.labels {
		c.postings[label{k, v}] = append(c.postings[label{k, v}], m)
	}
	if s, ok := c.spaces.get(p.Namespace); ok {
		for _, q := range s.policies {
			c.selectOne(q, m)
		}
	}
	c.mark(m)
	for _, e := range c.sets.all {
		if e != nil {
			c.place(e, m)
		}
	}
	return m
}

// leave takes the pod from the class, which goes with its last pod.
func (c *compiler) leave(m *member, id PodID) {
	i := slices.Index(m.pods, id)
	m.pods[i] = m.pods[len(m.pods)-1]
	m.pods = m.pods[:len(m.pods)-1]
	if len(m.pods) > 0 {
		return
	}
	for k, v := range m.labels {
		all := c.postings[label{k, v}]
		i := slices.Index(all, m)
		all[i] = all[len(all)-1]
		if all = all[:len(all)-1]; len(all) == 0 {
			delete(c.postings, label{k, v})
		} else {
			c.postings[label{k, v}] = all
		}
	}
	last := m.home.members[len(m.home.members)-1]
	m.home.members[m.at], last.at = last, m.at
	m.home.members = m.home.members[:len(m.home.members)-1]
	c.next.classes.set(int(m.id), nil)
	for d, e := range m.profiles {
		if m.profiles[d] = nil; e != nil {
			c.releaseProfile(e)
		}
	}
	c.members.drop(c.members.byKey[m.key])
	c.tidy(m.home)
}

// candidates are classes of the namespace among which are those that the
// selector may match.
func (c *compiler) candidates(sel *selector, h *home) iter.Seq[*member] {
	key, values, ok := sel.posting()
	n := 0
	for _, v := range values {
		n += len(c.postings[label{key, v}])
	}
	if !ok || n >= len(h.members) {
		return slices.Values(h.members)
	}
	return func(yield func(*member) bool) {
		for m := range c.labelled(key, values) {
			if m.home == h && !yield(m) {
				return
			}
		}
	}
}

// labelled are the classes that have one of the values under the key.
func (c *compiler) labelled(key string, values []string) iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, v := range values {
			for _, m := range c.postings[label{key, v}] {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// selectAll adds a new policy to the classes that it may select.
func (c *compiler) selectAll(p *networkPolicy) {
	if h := c.homes[p.Namespace]; h != nil {
		for m := range c.candidates(p.read().pods, h) {
			c.selectOne(p, m)
		}
	}
}

func (c *compiler) selectOne(p *networkPolicy, m *member) {
	is := p.read().pods.truth(m.labels)
	if is == no {
		return
	}
	i, _ := slices.BinarySearchFunc(m.policies, p.Name, func(s selected, name string) int { return strings.Compare(s.policy.Name, name) })
	m.policies = slices.Insert(m.policies, i, selected{p, is == maybe})
	c.mark(m)
}

func (c *compiler) deselect(m *member, p *networkPolicy) {
	if i := slices.IndexFunc(m.policies, func(s selected) bool { return s.policy == p }); i >= 0 {
		m.policies = slices.Delete(m.policies, i, i+1)
		c.mark(m)
	}
}

// placeOf reads what decisions need of the pod.
func (c *compiler) placeOf(id PodID) place {
	p, m := *c.next.pods.at(int(id)), c.podMember[id]
	at := place{class: m.id}
	for d, e := range m.profiles {
		if e == nil {
			continue // finish will come back to it
		}
		at.profiles[d] = e.id
		if m.ordered[d] || e.it.doubtful {
			at.flags |= [2]flags{orderedOut, orderedIn}[d]
		}
		if e.it.byName {
			at.flags |= byName
		}
	}
	if p.HostNetwork {
		at.flags |= hostNetwork
	}
	for i, all := range pair(p) {
		if len(all) > 1 {
			at.flags |= manyAddresses
		}
		if len(all) > 0 {
			at.atom[i] = c.atoms.of(all[0])
		}
	}
	node, ok := c.nodes[p.Node]
	if !ok {
		node = int32(len(c.nodes))
		c.nodes[p.Node] = node
	}
	at.node = node
	return at
}

// put writes it down. A pod of which only the address changes has the same
// record, and the others need not be copied for it.
func (c *compiler) put(id PodID, at place) {
	if r := at.record(); int(id) >= len(c.next.records) || c.next.records[id] != r {
		c.ownRecords(int(id))[id] = r
	}
	c.next.places.set(int(id), at)
}
