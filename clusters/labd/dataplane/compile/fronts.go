package compile

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// rank decides who gets a front that several Services want: the lowest. A
// ClusterIP is the API server's gift; an external address is anybody's claim.
type rank int

const (
	rankCluster rank = iota
	rankNodePort
	rankExternal
)

// wish is a front that a Service wants, and where it is to lead.
type wish struct {
	front Front
	rank  rank
	to    destination
}

// destination is where the packets of a front go.
type destination struct {
	chain   string // "": to nobody
	dropped bool   // what the chain leaves is dropped; without chain and this, it is refused
	targets []netip.AddrPort
}

// claim notes which fronts a Service wants, and has every other Service made anew
// that thereby gets one or loses one.
func (c *Compiler) claim(key Key, wanted []wish) {
	touched := map[Front]bool{}
	for _, front := range c.wanted[key] {
		delete(c.claims[front], key)
		touched[front] = true
	}
	delete(c.wanted, key)
	for _, w := range wanted {
		by := c.claims[w.front]
		if by == nil {
			by = map[Key]rank{}
			c.claims[w.front] = by
		}
		by[key], touched[w.front] = w.rank, true
		c.wanted[key] = append(c.wanted[key], w.front)
	}
	for front := range touched {
		c.settle(front, key)
	}
}

// settle decides who owns a front.
func (c *Compiler) settle(front Front, asking Key) {
	was, had := c.owners[front]
	var now Key
	best := rank(-1)
	for key, r := range c.claims[front] {
		if best < 0 || cmp.Or(cmp.Compare(r, best), key.compare(now)) < 0 {
			best, now = r, key
		}
	}
	if best < 0 {
		delete(c.claims, front)
		delete(c.owners, front)
	} else {
		c.owners[front] = now
	}
	if had && best >= 0 && was == now {
		return
	}
	for key := range c.claims[front] { // those that still do not get it are told who does
		if key != asking {
			c.unserved[key] = true
		}
	}
	if had && was != asking {
		c.unserved[was] = true
	}
}

// grant gives the Service a front it wants, if it is the front's owner.
func (s *serviceParts) grant(w wish) {
	if owner := s.owners[w.front]; owner != s.key {
		s.problem("spec", fmt.Sprintf("%s port %d/%s belongs to Service %s: it does not lead here", w.front.Addr, w.front.Port, w.front.Proto, owner))
		return
	}
	v := ruleset.FamilyOf(w.front.Addr)
	at := ruleset.Element{Addr: w.front.Addr, Proto: w.front.Proto, Port: w.front.Port}
	if w.front.Proto == ruleset.UDP {
		s.udp[w.front] = append([]netip.AddrPort{}, w.to.targets...)
	}
	switch {
	case w.to.dropped:
		s.member(named(setDropped, v), at)
	case w.to.chain == "":
		s.member(named(setRefused, v), at)
	}
	if w.to.chain != "" {
		at.Chain = w.to.chain
		s.member(named(setFronts, v), at)
	}
}
