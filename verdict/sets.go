package verdict

import "iter"

// classSet is a peer that selects pods, as the set of classes that it matches.
// The planes are the snapshot's.
type classSet struct {
	own   *home          // the namespace it is confined to; nil: see scope
	scope *entry[*scope] // the namespaces it selects; nil: see own
	pods  *selector      // nil: all
	users []int32        // recipes with it
}

// scope is a namespaceSelector, with what it says of each namespace.
type scope struct {
	*selector
	truths map[*home]truth
	sets   []*entry[classSet]
}

func (c *compiler) inScope(s *scope, h *home) truth {
	is, ok := s.truths[h]
	if !ok {
		is = c.readScope(s, h)
		s.truths[h] = is
	}
	return is
}

func (c *compiler) readScope(s *scope, h *home) truth {
	if s.everything() {
		return yes
	}
	if sp, ok := c.spaces.get(h.name); ok && sp.known {
		return s.truth(sp.labels)
	}
	return maybe
}

// matches says whether the set has the class. It is in doubt for a host-network
// pod that matches: implementations may see its node's address instead.
func (c *compiler) matches(s *classSet, m *member) truth {
	is := truthOf(s.own == m.home)
	if s.scope != nil {
		is = c.inScope(s.scope.it, m.home)
	}
	if is != no && s.pods != nil {
		is = is.and(s.pods.truth(m.labels))
	}
	if is == yes && m.host {
		return maybe
	}
	return is
}

// setOf returns the set of a peer that selects pods. Nobody holds it yet.
func (c *compiler) setOf(p *peer) *entry[classSet] {
	e, fresh := c.sets.intern(p.key)
	if !fresh {
		return e
	}
	e.it.pods = p.pods
	if p.namespaces == nil {
		e.it.own = c.homeOf(p.own)
	} else {
		sc, fresh := c.scopes.intern(p.namespaces.key)
		if fresh {
			sc.it = &scope{selector: p.namespaces, truths: map[*home]truth{}}
		}
		sc.refs++
		sc.it.sets = append(sc.it.sets, e)
		e.it.scope = sc
	}
	var sets planes
	for m := range c.reach(&e.it) {
		switch c.matches(&e.it, m) {
		case yes:
			sets.yes.put(m.id, true)
		case maybe:
			sets.maybe.put(m.id, true)
		}
	}
	c.next.sets.set(int(e.id), &sets)
	return e
}

// reach are classes among which are all of the set.
func (c *compiler) reach(s *classSet) iter.Seq[*member] {
	pods := s.pods
	if pods == nil {
		pods = &selector{}
	}
	if s.own != nil {
		return c.candidates(pods, s.own)
	}
	if key, values, ok := pods.posting(); ok {
		return c.labelled(key, values)
	}
	return func(yield func(*member) bool) {
		for _, h := range c.homes {
			if c.inScope(s.scope.it, h) == no {
				continue
			}
			for _, m := range h.members {
				if !yield(m) {
					return
				}
			}
		}
	}
}

func (c *compiler) dropSet(e *entry[classSet]) {
	if sc := e.it.scope; sc != nil {
		sc.it.sets = remove(sc.it.sets, e)
		if sc.refs--; sc.refs == 0 {
			c.scopes.drop(sc)
		}
	}
	c.next.sets.set(int(e.id), nil)
	c.sets.drop(e)
}

// place brings the set up to date about one class.
func (c *compiler) place(e *entry[classSet], m *member) {
	is, now := c.matches(&e.it, m), *c.next.sets.at(int(e.id))
	if now.yes.has(m.id) == (is == yes) && now.maybe.has(m.id) == (is == maybe) {
		return
	}
	c.next.sets.set(int(e.id), &planes{now.yes.with(m.id, is == yes), now.maybe.with(m.id, is == maybe)})
	for _, r := range e.it.users {
		c.stale(r)
	}
}

// rescope reads the selector again for a namespace whose labels have changed.
func (c *compiler) rescope(s *scope, h *home) {
	before := c.inScope(s, h)
	is := c.readScope(s, h)
	if s.truths[h] = is; is == before {
		return
	}
	for _, e := range s.sets {
		for _, m := range h.members {
			c.place(e, m)
		}
	}
}

// remove takes one element out, and does not keep the order.
func remove[T comparable](all []T, one T) []T {
	for i, x := range all {
		if x == one {
			all[i] = all[len(all)-1]
			return all[:len(all)-1]
		}
	}
	return all
}
