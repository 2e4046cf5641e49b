package verdict

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// profile is what a set of policies allows the pods that they isolate in one
// direction. Classes that the same policies select share it, unless rules name
// ports that the classes declare differently. Its table is the snapshot's.
type profile struct {
	recipes  []int32 // that its table holds, as often as it does
	byName   bool    // rules name ports of the target
	doubtful bool    // no policy certainly isolates
}

// profile gives the class the profiles that its policies demand, and writes the
// records of its pods.
func (c *compiler) profile(m *member) {
	m.dirty = false
	if len(m.pods) == 0 {
		return // it has gone in the meantime
	}
	for d := range m.profiles {
		old := m.profiles[d]
		m.profiles[d] = c.profileOf(m, direction(d))
		m.profiles[d].refs++
		if old != nil {
			c.releaseProfile(old)
		}
		m.ordered[d] = c.isOrdered(m, direction(d))
	}
	for _, id := range m.pods {
		c.put(id, c.placeOf(id))
	}
}

// isOrdered reports whether policies of other kinds than v1 may select the class.
func (c *compiler) isOrdered(m *member, d direction) bool {
	s := c.next
	pod := &Pod{Namespace: m.namespace, Labels: m.labels, HostNetwork: m.host}
	return s.foreign(pod) != "" || slices.ContainsFunc(s.cluster.policies, func(p *clusterPolicy) bool {
		return len(p.read().rules[d]) > 0 && s.selects(p, pod).is != no
	})
}

func (c *compiler) profileOf(m *member, d direction) *entry[profile] {
	key := append(make([]byte, 0, 64), byte(d))
	var all []selected
	for _, p := range m.policies {
		if !p.policy.read().affects[d] {
			continue
		}
		all = append(all, p)
		version := p.policy.serial << 1
		if p.doubt {
			version++
		}
		key = binary.AppendUvarint(key, version)
	}
	if len(all) == 0 {
		return c.profiles.all[0]
	}
	if d == ingress {
		key = m.appendNames(append(key, 0), all) // no version begins with 0
	}
	e, fresh := c.profiles.intern(string(key))
	if fresh {
		c.build(e, m, d, all)
	}
	return e
}

// appendNames adds those ports of the class that ingress rules call by name.
func (m *member) appendNames(key []byte, all []selected) []byte {
	for _, q := range m.ports {
		called := slices.ContainsFunc(all, func(p selected) bool { return p.policy.read().calls(ingress, q.Name) })
		if called {
			key = append(key, q.Name...)
			key = append(key, '=')
			key = strconv.AppendInt(key, int64(q.Number), 10)
			key = append(key, cmp.Or(q.Protocol, corev1.ProtocolTCP)...)
			key = append(key, ';')
		}
	}
	return key
}

// calls reports whether rules of the direction call ports by that name.
func (t *reading) calls(d direction, name string) bool {
	for _, r := range t.rules[d] {
		for i := range r.ports {
			if r.ports[i].named() && r.ports[i].name == name {
				return true
			}
		}
	}
	return false
}

func (c *compiler) releaseProfile(e *entry[profile]) {
	if e.refs--; e.refs > 0 || e.id == 0 {
		return
	}
	for _, r := range e.it.recipes {
		c.releaseRecipe(r)
	}
	c.putTable(e.id, tableOf(nothing)) // nobody has the profile, but who walks all of them meets it
	c.portsToMerge = true
	c.profiles.drop(e)
}

// build makes the table of a new profile.
func (c *compiler) build(e *entry[profile], m *member, d direction, all []selected) {
	b := builder{c: c, d: d, profile: &e.it}
	e.it.doubtful = !slices.ContainsFunc(all, func(p selected) bool { return !p.doubt })
	for _, p := range all {
		for i := range p.policy.read().rules[d] {
			b.add(&p.policy.read().rules[d][i], p.doubt)
		}
	}
	if d == ingress {
		b.declared = m.ports
	}
	t := &table{intervals: b.intervals(), named: b.namedRules()}
	e.it.byName = len(t.named) > 0
	c.putTable(e.id, t)
	b.cleanUp()
}

// builder makes the table of one profile.
type builder struct {
	c        *compiler
	d        direction
	declared []Port // of the class, for ingress
	rules    []term
	profile  *profile
	sets     []*entry[classSet] // all that were asked for
	blocks   []*entry[addressSet]
}

// term is a rule, with its peers as sets.
type term struct {
	ports        []portRange // empty: any
	sets, blocks []int32
	all          bool // any peer
	unsure       bool // a peer is invalid, and may match anything
	doubt        bool // the policy may not select the class
}

func (b *builder) add(r *rule, doubt bool) {
	t := term{ports: r.ports, all: len(r.peers) == 0, doubt: doubt}
	for i := range r.peers {
		p := &r.peers[i]
		switch {
		case p.invalid != "":
			t.unsure = true
		case p.block != nil:
			e := b.c.blockOf(p)
			t.blocks, b.blocks = append(t.blocks, e.id), append(b.blocks, e)
		default:
			e := b.c.setOf(p)
			t.sets, b.sets = append(t.sets, e.id), append(b.sets, e)
		}
	}
	b.rules = append(b.rules, t)
}

// cleanUp drops the sets that no recipe took.
func (b *builder) cleanUp() {
	for _, e := range b.sets {
		if e.refs == 0 && b.c.sets.all[e.id] == e {
			b.c.dropSet(e)
		}
	}
	for _, e := range b.blocks {
		if e.refs == 0 && b.c.blocks.all[e.id] == e {
			b.c.dropBlock(e)
		}
	}
}

// intervals: the recipe changes only where a range of ports begins or has just
// ended.
func (b *builder) intervals() []interval {
	var all []interval
	for p := range protocols {
		starts := []int32{0} // a port that nobody asks for: as port 1
		for i := range b.rules {
			for j := range b.rules[i].ports {
				starts = b.appendStarts(starts, &b.rules[i].ports[j], p)
			}
		}
		slices.Sort(starts)
		for _, start := range slices.Compact(starts) {
			if r := b.recipeOf(p, max(start, 1)); len(all) == 0 || all[len(all)-1].recipe != r {
				all = append(all, interval{pointOf(p, start), r})
			}
		}
	}
	for i := range all {
		b.take(all[i].recipe)
	}
	return all
}

// appendStarts adds the ports from 2 at which the range begins to match, or no
// longer does.
func (b *builder) appendStarts(starts []int32, r *portRange, protocol int) []int32 {
	add := func(low, high int32) {
		if low > 1 && low <= 65535 {
			starts = append(starts, low)
		}
		if high >= 1 && high < 65535 {
			starts = append(starts, high+1)
		}
	}
	switch {
	case r.invalid != "" || r.protocol != protocolNames[protocol]:
	case !r.named():
		add(r.low, r.high)
	default:
		for _, p := range b.declared {
			if p.Name == r.name {
				add(p.Number, p.Number)
			}
		}
	}
	return starts
}

// recipeOf says who is allowed on the port. Nobody holds the recipe yet.
func (b *builder) recipeOf(protocol int, port int32) int32 {
	var m mixture
	for i := range b.rules {
		t := &b.rules[i]
		is := yes
		if len(t.ports) > 0 {
			is = no
			for j := range t.ports {
				is = is.or(t.ports[j].matches(port, protocolNames[protocol], b.declared).is)
			}
		}
		m.add(t, is)
	}
	return b.c.recipeFor(&m)
}

// namedRules are the egress rules with ports that only the target can name.
func (b *builder) namedRules() []namedRule {
	var all []namedRule
	if b.d == ingress {
		return nil
	}
	for i := range b.rules {
		for j := range b.rules[i].ports {
			if p := &b.rules[i].ports[j]; p.named() && protocolIndex(p.protocol) != protocols {
				var m mixture
				m.add(&b.rules[i], yes)
				r := b.c.recipeFor(&m)
				b.take(r)
				all = append(all, namedRule{p.name, p.protocol, r})
			}
		}
	}
	return all
}

func (b *builder) take(recipe int32) {
	b.c.recipes.all[recipe].refs++
	b.profile.recipes = append(b.profile.recipes, recipe)
}
