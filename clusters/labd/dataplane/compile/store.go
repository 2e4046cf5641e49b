package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// fragment is what one object contributes to the ruleset.
type fragment struct {
	counters map[string]Meaning
	sets     map[string]ruleset.Set
	chains   map[string]ruleset.Chain
	members  []member // elements of sets that belong to others, too
	lists    []*list  // lists that its rules look in
	problems []Problem
	udp      map[Front][]netip.AddrPort
}

// member is an element of a named set.
type member struct {
	set     string
	element ruleset.Element
}

func newFragment() *fragment {
	return &fragment{counters: map[string]Meaning{}, sets: map[string]ruleset.Set{},
		chains: map[string]ruleset.Chain{}, udp: map[Front][]netip.AddrPort{}}
}

// set adds a set that members fill.
func (f *fragment) set(name string, kind ruleset.Kind) {
	f.sets[name] = ruleset.Set{Kind: kind, Elements: map[ruleset.Element]bool{}}
}

func (f *fragment) member(set string, e ruleset.Element) {
	f.members = append(f.members, member{set, e})
}

// store is the ruleset as the sum of fragments. What several of them contribute
// stays until the last one goes. Values that Output has shown are never changed:
// a set that gets another element becomes another map.
type store struct {
	rs        ruleset.Ruleset
	fragments map[string]*fragment
	counters  map[string]int // how many fragments hold it
	sets      map[string]int
	chains    map[string]int
	members   map[member]int
	ours      map[string]bool // sets whose elements were copied since the last Output
	changed   ruleset.Names
	meanings  map[string]Meaning
	problems  map[string][]Problem // by fragment
	moved     map[Front][]netip.AddrPort
	reasons   map[string]string
	under     map[string]map[string]bool // chains that jump to a chain
}

func newStore() store {
	return store{rs: ruleset.New(), fragments: map[string]*fragment{}, counters: map[string]int{}, sets: map[string]int{},
		chains: map[string]int{}, members: map[member]int{}, ours: map[string]bool{}, changed: ruleset.NewNames(),
		meanings: map[string]Meaning{}, problems: map[string][]Problem{}, moved: map[Front][]netip.AddrPort{},
		reasons: map[string]string{}, under: map[string]map[string]bool{}}
}

// replace puts a fragment in the place of the one of that id; nil only removes.
func (c *Compiler) replace(id string, next *fragment) {
	old := c.fragments[id]
	delete(c.fragments, id)
	delete(c.problems, id)
	if next != nil {
		c.fragments[id] = next
		if len(next.problems) > 0 {
			c.problems[id] = next.problems
		}
		c.put(next)
	}
	if old != nil {
		c.drop(old)
	}
	c.noteMoves(old, next)
}

func (c *Compiler) put(f *fragment) {
	for _, l := range f.lists {
		c.hold(l)
	}
	for name, meaning := range f.counters {
		c.store.counters[name]++
		c.rs.Counters[name], c.meanings[name], c.changed.Counters[name] = true, meaning, true
	}
	for name, s := range f.sets {
		c.store.sets[name]++
		c.rs.Sets[name], c.changed.Sets[name] = s, true
		delete(c.ours, name)
	}
	for name, ch := range f.chains {
		c.store.chains[name]++
		c.setChain(name, ch)
	}
	for _, m := range f.members {
		c.addMember(m)
	}
}

func (c *Compiler) drop(f *fragment) {
	for _, m := range f.members {
		c.removeMember(m)
	}
	for name := range f.chains {
		if c.store.chains[name]--; c.store.chains[name] == 0 {
			delete(c.store.chains, name)
			c.setChain(name, ruleset.Chain{})
			delete(c.rs.Chains, name)
		}
	}
	for name := range f.sets {
		if c.store.sets[name]--; c.store.sets[name] == 0 {
			delete(c.store.sets, name)
			delete(c.rs.Sets, name)
			c.changed.Sets[name] = true
		}
	}
	for name := range f.counters {
		if c.store.counters[name]--; c.store.counters[name] == 0 {
			delete(c.store.counters, name)
			delete(c.rs.Counters, name)
			delete(c.meanings, name)
			c.changed.Counters[name] = true
		}
	}
	for _, l := range f.lists {
		c.release(l)
	}
}

// setChain also keeps track of who jumps to whom, and forgets the reasons of the
// pods that are judged by the chain.
func (c *Compiler) setChain(name string, next ruleset.Chain) {
	c.changed.Chains[name] = true
	old, had := c.rs.Chains[name]
	c.rs.Chains[name] = next
	if had && old.Equal(next) {
		return
	}
	for _, r := range old.Rules {
		if r.Action == ruleset.Jump {
			delete(c.under[r.Target], name)
			if len(c.under[r.Target]) == 0 {
				delete(c.under, r.Target)
			}
		}
	}
	for _, r := range next.Rules {
		if r.Action == ruleset.Jump {
			if c.under[r.Target] == nil {
				c.under[r.Target] = map[string]bool{}
			}
			c.under[r.Target][name] = true
		}
	}
	c.forgetReasons(name)
}

func (c *Compiler) forgetReasons(chain string) {
	delete(c.reasons, chain)
	for above := range c.under[chain] {
		c.forgetReasons(above)
	}
}

func (c *Compiler) addMember(m member) {
	c.store.members[m]++
	if c.store.members[m] == 1 {
		c.elements(m.set)[m.element] = true
	}
}

func (c *Compiler) removeMember(m member) {
	if c.store.members[m]--; c.store.members[m] == 0 {
		delete(c.store.members, m)
		delete(c.elements(m.set), m.element)
	}
}

// elements returns the set's elements to be changed.
func (c *Compiler) elements(set string) map[ruleset.Element]bool {
	s := c.rs.Sets[set]
	if !c.ours[set] {
		c.ours[set] = true
		s.Elements = maps.Clone(s.Elements)
		c.rs.Sets[set] = s
		c.changed.Sets[set] = true
	}
	return s.Elements
}

// noteMoves compares the UDP fronts of a fragment and its successor.
func (c *Compiler) noteMoves(old, next *fragment) {
	if next != nil {
		for front, targets := range next.udp {
			if old == nil || !slices.Equal(old.udp[front], targets) || old.udp[front] == nil {
				c.moved[front] = targets // a new one too: it may have been asked before it was there
			}
		}
	}
	if old != nil {
		for front := range old.udp {
			if next == nil || next.udp[front] == nil {
				c.moved[front] = nil
			}
		}
	}
}

func (c *Compiler) take() Output {
	out := Output{Ruleset: c.rs, Changed: c.changed, Meanings: c.meanings, Moved: c.moved, reasons: c.reasons}
	for _, id := range slices.Sorted(maps.Keys(c.problems)) {
		out.Problems = append(out.Problems, c.problems[id]...)
	}
	c.changed, c.moved, c.ours = ruleset.NewNames(), map[Front][]netip.AddrPort{}, map[string]bool{}
	return out
}
