package ruleset

import (
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

// Diff returns what turns old into wanted. Counters that are in both are left
// alone, so what they counted survives; so are sets and chains that are equal.
func Diff(old, wanted Ruleset) Change {
	var c Change
	for _, name := range sortedKeys(wanted.Counters) {
		if !old.Counters[name] {
			c.AddCounters = append(c.AddCounters, name)
		}
	}
	for _, name := range sortedKeys(old.Counters) {
		if !wanted.Counters[name] {
			c.DropCounters = append(c.DropCounters, name)
		}
	}
	diffSets(&c, old.Sets, wanted.Sets)
	diffChains(&c, old.Chains, wanted.Chains)
	return c
}

func diffSets(c *Change, old, wanted map[string]Set) {
	for _, name := range sortedKeys(wanted) {
		before, had := old[name]
		if !had {
			c.AddSets = append(c.AddSets, NamedSet{name, wanted[name]})
			continue
		}
		if d := diffElements(name, before, wanted[name]); len(d.Add)+len(d.Del) > 0 {
			c.Elements = append(c.Elements, d)
		}
	}
	for _, name := range sortedKeys(old) {
		if _, keeps := wanted[name]; !keeps {
			c.DropSets = append(c.DropSets, NamedSet{name, old[name]})
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

func diffChains(c *Change, old, wanted map[string]Chain) {
	for _, name := range sortedKeys(wanted) {
		before, had := old[name]
		if !had {
			c.AddChains = append(c.AddChains, NamedChain{name, wanted[name]})
		}
		if !had && len(wanted[name].Rules) > 0 || had && !before.Equal(wanted[name]) {
			c.Fill = append(c.Fill, NamedChain{name, wanted[name]})
		}
	}
	for _, name := range sortedKeys(old) {
		if _, keeps := wanted[name]; !keeps {
			c.DropChains = append(c.DropChains, name)
		}
	}
}
