package kernel

import (
	"errors"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// rebuild replaces whatever table there is, in one transaction where that is
// small enough. Otherwise the first transaction replaces it by a gate that lets
// nothing new through, and the gate goes with the last.
func (t *Table) rebuild(wanted ruleset.Ruleset) error {
	counted, err := t.counters()
	if err != nil {
		counted = map[string]uint64{} // there was no table
	}
	steps := assembly(wanted, counted)
	err = t.link.transact(func(c *nftables.Conn) error {
		begin(c)
		for _, step := range steps {
			if err := step.write(c); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, errTooLarge) {
		return err
	}
	return t.rebuildBehindGate(steps)
}

func begin(c *nftables.Conn) {
	c.AddTable(table()) // so that there is one to delete
	c.DelTable(table())
	c.AddTable(table())
}

// gateChain comes before all other chains that see forwarded packets.
const (
	gateChain    = "gate"
	gatePriority = -300
)

func (t *Table) rebuildBehindGate(steps []step) error {
	gate := ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Forward, Priority: gatePriority},
		Rules: []ruleset.Rule{{Established: true, Action: ruleset.Accept}, {Action: ruleset.Drop}}}
	err := t.link.transact(func(c *nftables.Conn) error {
		begin(c)
		c.AddChain(chain(table(), gateChain, gate.Hook))
		return appendRules(c, table(), gateChain, gate.Rules)
	})
	for len(steps) > 0 && err == nil {
		size, n := steps[0].bytes, 1
		for n < len(steps) && size+steps[n].bytes < maxTransaction {
			size += steps[n].bytes
			n++
		}
		now := steps[:n]
		steps = steps[n:]
		err = t.link.transact(func(c *nftables.Conn) error {
			for _, step := range now {
				if err := step.write(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	return t.link.transact(func(c *nftables.Conn) error {
		return write(c, ruleset.Change{DropChains: []string{gateChain}})
	})
}

// step is a part of a table's assembly; bytes is more than its messages have.
type step struct {
	bytes int
	write func(*nftables.Conn) error
}

// More than a message of each kind has, in bytes; a rule's is of the longest.
const (
	counterBytes, setBytes, chainBytes, elementBytes, ruleBytes = 160, 320, 240, 200, 1400
	rulesPerStep                                                = 100
)

// assembly makes a table from nothing, in the order in which parts refer to
// each other; each step is far smaller than a transaction.
func assembly(wanted ruleset.Ruleset, counted map[string]uint64) []step {
	var steps []step
	add := func(bytes int, write func(c *nftables.Conn, t *nftables.Table) error) {
		steps = append(steps, step{bytes, func(c *nftables.Conn) error { return write(c, table()) }})
	}
	for name := range wanted.Counters {
		add(counterBytes, func(c *nftables.Conn, t *nftables.Table) error {
			c.AddObj(counter(t, name, counted[name]))
			return nil
		})
	}
	for name, s := range wanted.Sets {
		add(setBytes, func(c *nftables.Conn, t *nftables.Table) error { return c.AddSet(set(t, name, s), nil) })
	}
	for name, ch := range wanted.Chains {
		add(chainBytes, func(c *nftables.Conn, t *nftables.Table) error {
			c.AddChain(chain(t, name, ch.Hook))
			return nil
		})
	}
	for name, s := range wanted.Sets {
		for part := range slices.Chunk(slices.Collect(maps.Keys(s.Elements)), elementsPerMessage) {
			add(setBytes+len(part)*elementBytes, func(c *nftables.Conn, t *nftables.Table) error {
				return addElements(c, t, name, s.Kind, part)
			})
		}
	}
	for name, ch := range wanted.Chains {
		for part := range slices.Chunk(ch.Rules, rulesPerStep) {
			add(len(part)*ruleBytes, func(c *nftables.Conn, t *nftables.Table) error { return appendRules(c, t, name, part) })
		}
	}
	return steps
}
