package ruleset

import (
	"maps"
	"slices"
	"strings"
)

// Change is what turns one Ruleset into another, grouped in the order in which
// the kernel must be told: what is referred to before what refers to it, and
// the other way round for what goes. All of it belongs into one transaction.
// Names are sorted, so equal inputs make equal changes.
type Change struct {
	AddCounters  []string
	AddSets      []NamedSet   // with all their elements
	AddChains    []NamedChain // the chain only; its rules are in Fill
	Elements     []SetDelta   // of sets that were there before, removals first
	Fill         []NamedChain // flushed and given these rules
	DropChains   []string     // flushed, all of them, then deleted
	DropSets     []NamedSet
	DropCounters []string
}

// NamedSet is a set with its name.
type NamedSet struct {
	Name string
	Set
}

// NamedChain is a chain with its name.
type NamedChain struct {
	Name string
	Chain
}

// SetDelta is what changes in one set. A map element whose data changes is in
// both lists.
type SetDelta struct {
	Name     string
	Kind     Kind
	Del, Add []Element
}

// Empty says that there is nothing to do.
func (c Change) Empty() bool {
	return len(c.AddCounters)+len(c.AddSets)+len(c.AddChains)+len(c.Elements)+len(c.Fill)+
		len(c.DropChains)+len(c.DropSets)+len(c.DropCounters) == 0
}

// Names names parts of a Ruleset.
type Names struct{ Counters, Sets, Chains map[string]bool }

// NewNames returns no names, ready to be added to.
func NewNames() Names {
	return Names{Counters: map[string]bool{}, Sets: map[string]bool{}, Chains: map[string]bool{}}
}

// Empty says whether nothing is named.
func (n Names) Empty() bool { return len(n.Counters)+len(n.Sets)+len(n.Chains) == 0 }

// Add adds others.
func (n Names) Add(more Names) {
	maps.Copy(n.Counters, more.Counters)
	maps.Copy(n.Sets, more.Sets)
	maps.Copy(n.Chains, more.Chains)
}

// Names names everything in the ruleset.
func (r Ruleset) Names() Names {
	n := NewNames()
	maps.Copy(n.Counters, r.Counters)
	for name := range r.Sets {
		n.Sets[name] = true
	}
	for name := range r.Chains {
		n.Chains[name] = true
	}
	return n
}

// Take makes r's part of these names what it is in wanted.
func (r Ruleset) Take(wanted Ruleset, names Names) {
	for name := range names.Counters {
		adopt(r.Counters, wanted.Counters, name)
	}
	for name := range names.Sets {
		adopt(r.Sets, wanted.Sets, name)
	}
	for name := range names.Chains {
		adopt(r.Chains, wanted.Chains, name)
	}
}

func adopt[V any](into, from map[string]V, name string) {
	if v, is := from[name]; is {
		into[name] = v
	} else {
		delete(into, name)
	}
}

// Diff returns what turns old into wanted. Counters that are in both are left
// alone, so what they counted survives; so are sets and chains that are equal.
func Diff(old, wanted Ruleset) Change {
	names := old.Names()
	names.Add(wanted.Names())
	return DiffNames(old, wanted, names)
}

// DiffNames is Diff for two rulesets that are known to be equal but for names:
// it costs as much as these, whatever the size of the rulesets.
func DiffNames(old, wanted Ruleset, names Names) Change {
	var c Change
	for _, name := range sortedKeys(names.Counters) {
		switch had, keeps := old.Counters[name], wanted.Counters[name]; {
		case keeps && !had:
			c.AddCounters = append(c.AddCounters, name)
		case had && !keeps:
			c.DropCounters = append(c.DropCounters, name)
		}
	}
	for _, name := range sortedKeys(names.Sets) {
		diffSet(&c, name, old.Sets, wanted.Sets)
	}
	for _, name := range sortedKeys(names.Chains) {
		diffChain(&c, name, old.Chains, wanted.Chains)
	}
	return c
}

func diffSet(c *Change, name string, old, wanted map[string]Set) {
	before, had := old[name]
	after, keeps := wanted[name]
	switch {
	case keeps && !had:
		c.AddSets = append(c.AddSets, NamedSet{name, after})
	case had && !keeps:
		c.DropSets = append(c.DropSets, NamedSet{name, before})
	case had && keeps:
		if d := diffElements(name, before, after); len(d.Add)+len(d.Del) > 0 {
			c.Elements = append(c.Elements, d)
		}
	}
}

func diffElements(name string, old, wanted Set) SetDelta {
	d := SetDelta{Name: name, Kind: wanted.Kind}
	for e := range old.Elements {
		if !wanted.Elements[e] {
			d.Del = append(d.Del, e)
		}
	}
	for e := range wanted.Elements {
		if !old.Elements[e] {
			d.Add = append(d.Add, e)
		}
	}
	byText := func(a, b Element) int {
		return strings.Compare(a.describe(wanted.Kind), b.describe(wanted.Kind))
	}
	slices.SortFunc(d.Del, byText)
	slices.SortFunc(d.Add, byText)
	return d
}

func diffChain(c *Change, name string, old, wanted map[string]Chain) {
	before, had := old[name]
	after, keeps := wanted[name]
	switch {
	case !keeps && had:
		c.DropChains = append(c.DropChains, name)
	case keeps && !had:
		c.AddChains = append(c.AddChains, NamedChain{name, after})
		if len(after.Rules) > 0 {
			c.Fill = append(c.Fill, NamedChain{name, after})
		}
	case keeps && !before.Equal(after):
		c.Fill = append(c.Fill, NamedChain{name, after})
	}
}
