package verdict

import (
	"net/netip"
	"slices"
)

// atomTable splits addresses into atoms. Prefixes nest, so that the longest one
// that holds an address says which others hold it: an atom is what has the same
// longest prefix, of all the prefixes in ipBlocks.
type atomTable struct {
	byPrefix map[netip.Prefix]*atom
	free     []int32
	last     int32
	lengths  [2][]int       // that occur, by family, longest first
	counts   [2][129]int    // how many prefixes have each length
	moved    []netip.Prefix // that came or went since addresses were looked up
}

type atom struct {
	id   int32
	refs int
}

// elsewhere is the atom of addresses that no prefix holds.
const elsewhere = 1

func (t *atomTable) init() { t.byPrefix, t.last = map[netip.Prefix]*atom{}, elsewhere }

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// within is the atom of the longest prefix of at most that many bits.
func (t *atomTable) within(a netip.Addr, bits int) int32 {
	for _, n := range t.lengths[familyOf(a)] {
		if n > bits {
			continue
		}
		if p, err := a.Prefix(n); err == nil {
			if at := t.byPrefix[p]; at != nil {
				return at.id
			}
		}
	}
	return elsewhere
}

func (t *atomTable) of(a netip.Addr) int32 { return t.within(a, a.BitLen()) }

func (t *atomTable) count(p netip.Prefix, n int) {
	f := familyOf(p.Addr())
	t.counts[f][p.Bits()] += n
	t.lengths[f] = t.lengths[f][:0]
	for bits := 128; bits >= 0; bits-- {
		if t.counts[f][bits] > 0 {
			t.lengths[f] = append(t.lengths[f], bits)
		}
	}
}

// add counts a holder of the prefix. A new one takes its atom out of that of the
// prefix around it, and is in the blocks that this one is in.
func (c *compiler) addPrefix(p netip.Prefix) {
	t := &c.atoms
	if a := t.byPrefix[p]; a != nil {
		a.refs++
		return
	}
	around := t.within(p.Addr(), p.Bits())
	a := &atom{refs: 1}
	if n := len(t.free); n > 0 {
		a.id, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.last++
		a.id = t.last
	}
	t.byPrefix[p] = a
	t.count(p, 1)
	t.moved = append(t.moved, p)
	for _, e := range c.blocks.all {
		if e == nil {
			continue
		}
		now := *c.next.blocks.at(int(e.id))
		if in := now.has(around); in != now.has(a.id) {
			c.next.blocks.set(int(e.id), now.with(a.id, in))
			for _, r := range e.it.users {
				c.stale(r)
			}
		}
	}
}

func (c *compiler) removePrefix(p netip.Prefix) {
	t := &c.atoms
	a := t.byPrefix[p]
	if a.refs--; a.refs > 0 {
		return
	}
	delete(t.byPrefix, p)
	t.free = append(t.free, a.id)
	t.count(p, -1)
	t.moved = append(t.moved, p)
}

// holdPrefixes keeps apart what networks and nodes of ClusterNetworkPolicies may
// tell apart: no row needs it, but pods of one Class are judged alike by those
// policies as well.
func (c *compiler) holdPrefixes() {
	before := c.held
	c.held = c.next.cluster.prefixes()
	for _, p := range c.held {
		c.addPrefix(p)
	}
	for _, p := range before {
		c.removePrefix(p)
	}
}

// prefixes are those of networks, and the addresses of nodes where some policy
// selects nodes.
func (cl *cluster) prefixes() []netip.Prefix {
	var all []netip.Prefix
	nodes := false
	for _, p := range cl.policies {
		for _, r := range p.read().rules[egress] { // ingress rules have no such peers
			for _, q := range r.peers {
				nodes = nodes || q.nodes != nil
				for _, n := range q.networks {
					if n.err == nil {
						all = append(all, n.block.cidr)
					}
				}
			}
		}
	}
	if !nodes {
		return all
	}
	for _, n := range cl.nodes {
		for _, a := range n.IPs {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}

// addressSet is an ipBlock, as the set of atoms inside it. The set is the
// snapshot's.
type addressSet struct {
	*block
	users []int32 // recipes with it
}

// blockOf returns the set of a peer that is an ipBlock. Nobody holds it yet.
func (c *compiler) blockOf(p *peer) *entry[addressSet] {
	if e := c.blocks.byKey[p.key]; e != nil {
		return e
	}
	c.addPrefix(p.block.cidr)
	for _, x := range p.block.except {
		c.addPrefix(x)
	}
	var in bits
	for q, a := range c.atoms.byPrefix {
		if around(p.block.cidr, q) && !slices.ContainsFunc(p.block.except, func(x netip.Prefix) bool { return around(x, q) }) {
			in.put(a.id, true)
		}
	}
	e, _ := c.blocks.intern(p.key)
	e.it.block = p.block
	c.next.blocks.set(int(e.id), in)
	return e
}

func around(p, q netip.Prefix) bool { return p.Bits() <= q.Bits() && p.Contains(q.Addr()) }

func (c *compiler) dropBlock(e *entry[addressSet]) {
	c.next.blocks.set(int(e.id), nil)
	c.blocks.drop(e)
	c.removePrefix(e.it.cidr)
	for _, x := range e.it.except {
		c.removePrefix(x)
	}
}

// readdress looks up the addresses of pods again, if prefixes came or went that
// hold them.
func (c *compiler) readdress() {
	moved := c.atoms.moved
	if len(moved) == 0 {
		return
	}
	c.atoms.moved = moved[:0]
	for id, p := range c.next.Pods() {
		if len(moved) > 8 || slices.ContainsFunc(moved, func(q netip.Prefix) bool { return holdsAny(q, p.Addresses()) }) {
			c.put(id, c.placeOf(id))
		}
	}
}

func holdsAny(q netip.Prefix, all []netip.Addr) bool {
	for _, a := range all {
		if a.IsValid() && q.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}
