package verdict

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// compiler makes each snapshot from the one before. What snapshots hold is
// copied before it is changed; what only the compiler holds is changed in place.
//
// A change marks the classes that it may concern; finish gives each of them its
// profiles anew. Everything that hangs on profiles is counted, and goes when the
// last holder goes:
//
//	class ──► profile ──► recipe ──► set of classes, block of addresses
type compiler struct {
	next *Snapshot // in the making, between begin and finish
	owns owned     // of next: what no other snapshot shares

	ids       shards[PodID]
	freePods  []PodID
	podMember []*member // by PodID
	nodes     map[string]int32

	spaces shards[*space]
	homes  map[string]*home
	serial uint64 // of the last version of a policy

	members  registry[*member]
	postings map[label][]*member
	dirty    []*member

	profiles registry[profile]
	recipes  registry[made]
	sets     registry[classSet]
	scopes   registry[*scope]
	blocks   registry[addressSet]
	atoms    atomTable
	held     []netip.Prefix // that ClusterNetworkPolicies and nodes tell apart

	portStarts     []int32 // points at which another port class begins
	portClassLimit int
	portsToMerge   bool // port classes may have become alike
}

type owned struct{ rows, records, portClasses, columns, cluster bool }

func newCompiler() *compiler {
	c := &compiler{nodes: map[string]int32{"": 0}, homes: map[string]*home{}, postings: map[label][]*member{}}
	c.begin(&Snapshot{cluster: &cluster{}, portClasses: &onePortClass, columns: [][]uint16{nil}})
	c.atoms.init()
	c.portStarts, c.portClassLimit = []int32{0}, maxPortClasses
	for range mixed + 1 { // with keys that no recipe has
		e, _ := c.recipes.intern(strings.Repeat("-", len(c.recipes.all)+1))
		e.refs = 1
		c.putRecipe(e.id, &recipe{})
	}
	e, _ := c.profiles.intern("")
	e.refs = 1
	c.putTable(e.id, tableOf(everything))
	return c
}

func (c *compiler) begin(s *Snapshot) {
	if s == nil { // the first one is in the making already
		return
	}
	next := *s
	for _, list := range []interface{ share() }{&next.pods, &next.places,
		&next.classes, &next.tables, &next.recipes, &next.sets, &next.blocks} {
		list.share()
	}
	c.next, c.owns = &next, owned{}
}

// finish settles what the changes left open, and gives the snapshot away.
func (c *compiler) finish() *Snapshot {
	c.next.spaces = c.spaces.share()
	for _, m := range c.dirty {
		c.profile(m)
	}
	c.dirty = c.dirty[:0]
	if c.owns.cluster {
		c.holdPrefixes()
	}
	c.readdress()
	c.next.ids = c.ids.share()
	return c.next
}

// stale forgets the row of a recipe, because something in it has changed.
func (c *compiler) stale(recipe int32) { c.ownRows(int(recipe))[recipe].Store(nil) }

func (c *compiler) ownRows(i int) []atomic.Pointer[row] {
	if n := max(len(c.next.rows), i+1); !c.owns.rows || n > cap(c.next.rows) {
		rows := make([]atomic.Pointer[row], n, n+n/4+16)
		for i := range c.next.rows {
			rows[i].Store(c.next.rows[i].Load())
		}
		c.next.rows, c.owns.rows = rows, true
	} else {
		c.next.rows = c.next.rows[:n]
	}
	return c.next.rows
}

// ownRecords makes the records private to the snapshot in the making, with room
// for the number. They are one list because every decision looks into it; the
// others are pages.
func (c *compiler) ownRecords(i int) []record {
	if !c.owns.records {
		c.next.records, c.owns.records = slices.Clone(c.next.records), true
	}
	if n := i + 1 - len(c.next.records); n > 0 {
		c.next.records = append(c.next.records, make([]record, n)...)
	}
	return c.next.records
}

// ownCluster is the cluster, private. Whoever asks for it changes what any pod
// may be subject to.
func (c *compiler) ownCluster() *cluster {
	if !c.owns.cluster {
		cl := *c.next.cluster
		cl.policies = slices.Clone(cl.policies)
		c.next.cluster, c.owns.cluster = &cl, true
		for _, e := range c.members.all {
			if e != nil {
				c.mark(e.it)
			}
		}
	}
	return c.next.cluster
}

// home is what the compiler knows of a namespace.
type home struct {
	name    string
	members []*member
}

func (c *compiler) homeOf(name string) *home {
	h := c.homes[name]
	if h == nil {
		h = &home{name: name}
		c.homes[name] = h
	}
	return h
}

// spaceOf is a copy of the space, to be changed and set.
func (c *compiler) spaceOf(name string) *space {
	if s, ok := c.spaces.get(name); ok {
		t := *s
		return &t
	}
	return &space{name: name}
}

// relabel sets what is known of the labels of a namespace.
func (c *compiler) relabel(name string, known bool, own, labels map[string]string) {
	s := c.spaceOf(name)
	same := s.known == known && maps.Equal(s.labels, labels)
	s.known, s.own, s.labels = known, own, labels
	c.putSpace(s)
	h := c.homes[name]
	if same || h == nil {
		return
	}
	for _, e := range c.scopes.all {
		if e != nil {
			c.rescope(e.it, h)
		}
	}
	if len(c.next.cluster.policies) > 0 {
		for _, m := range h.members {
			c.mark(m)
		}
	}
}

// putSpace keeps the space, if there is anything to know of it.
func (c *compiler) putSpace(s *space) {
	if s.known || len(s.policies) > 0 {
		c.spaces.set(s.name, s)
	} else {
		c.spaces.delete(s.name)
	}
}

// tidy forgets a namespace in which no pod is.
func (c *compiler) tidy(h *home) {
	if len(h.members) > 0 {
		return
	}
	delete(c.homes, h.name)
	for _, e := range c.scopes.all {
		if e != nil {
			delete(e.it.truths, h)
		}
	}
}

// replacePolicy sets the policy of that name; nil deletes it. A policy that is
// set again has a new serial, so that every profile with it is made anew.
func (c *compiler) replacePolicy(ns, name string, p *Policy) {
	s := c.spaceOf(ns)
	i, found := slices.BinarySearchFunc(s.policies, name, func(p *networkPolicy, name string) int { return strings.Compare(p.Name, name) })
	if !found && p == nil {
		return
	}
	s.policies = slices.Clone(s.policies)
	if found {
		old := s.policies[i]
		if h := c.homes[ns]; h != nil {
			for m := range c.candidates(old.read().pods, h) {
				c.deselect(m, old)
			}
		}
		s.policies = slices.Delete(s.policies, i, i+1)
	}
	if p != nil {
		c.serial++
		q := &networkPolicy{Policy: *p, serial: c.serial}
		s.policies = slices.Insert(s.policies, i, q)
		c.selectAll(q)
	}
	c.putSpace(s)
}
