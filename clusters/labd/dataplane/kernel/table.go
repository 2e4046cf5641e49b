// Package kernel programs. A Table is the node's nftables table, `ip tightrope`,
// in one network namespace: Apply sends a Change as one transaction that
// happens entirely or not at all, Counters reads back what was counted, and the
// rest of the package is what the kernel's other doors offer a data plane:
// connection tracking and the packet log. It decides nothing.
package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
)

// TableName is the name of the table; its family is ip.
const TableName = "tightrope"

// Table is the table of one network namespace. It may be used from several
// goroutines.
type Table struct {
	mu      sync.Mutex // one question or transaction at a time
	link    link
	current ruleset.Ruleset // what the kernel holds; meaningless while !known
	known   bool
}

// Open returns the table, which need not exist yet. ns is an open descriptor of
// the network namespace and must stay open; 0 means the namespace of whatever
// thread calls, which suits a process that has only one.
func Open(ns int) *Table { return &Table{link: link{ns: ns}} }

// Close closes the sockets. The rules stay in force.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.link.close()
}

// Apply makes the table hold exactly wanted. What changes, changes in one
// transaction. After an error the table's content is not known any more: the
// next Apply builds it anew, in one transaction too, in which counters go on
// from what they had counted. rebuilt says that this happened.
func (t *Table) Apply(wanted ruleset.Ruleset) (rebuilt bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.current
	if !t.known {
		old = ruleset.New()
	}
	change := ruleset.Diff(old, wanted)
	if t.known && change.Empty() {
		return false, nil
	}
	var counted map[string]uint64 // nil: change what is there
	if rebuilt = !t.known; rebuilt {
		if counted, err = t.counters(); err != nil {
			counted = map[string]uint64{} // there was no table
		}
	}
	if err := t.link.transact(func(c *nftables.Conn) error { return write(c, change, counted) }); err != nil {
		t.known = false
		return rebuilt, fmt.Errorf("nftables: %w", err)
	}
	t.current, t.known = wanted, true
	return rebuilt, nil
}

// Counters returns the packets that each named counter has counted.
func (t *Table) Counters() (map[string]uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counters()
}

func (t *Table) counters() (map[string]uint64, error) {
	c, err := t.link.reader()
	if err != nil {
		return nil, fmt.Errorf("nftables: open netlink socket: %w", err)
	}
	objects, err := c.GetNamedObjects(table())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("nftables: read counters of table %s: %w", TableName, err), t.link.close())
	}
	counted := map[string]uint64{}
	for _, o := range objects {
		if named, ok := o.(*nftables.NamedObj); ok {
			if counter, ok := named.Obj.(*expr.Counter); ok {
				counted[named.Name] = counter.Packets
			}
		}
	}
	return counted, nil
}

func table() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyIPv4}
}

// write puts a whole change into the connection's buffer. With counted it first
// deletes the table and all that is in it; new counters then begin there.
func write(c *nftables.Conn, change ruleset.Change, counted map[string]uint64) error {
	t := table()
	c.AddTable(t)
	if counted != nil {
		c.DelTable(t)
		c.AddTable(t)
	}
	for _, name := range change.AddCounters {
		c.AddObj(counter(t, name, counted[name]))
	}
	for _, s := range change.AddSets {
		if err := c.AddSet(set(t, s.Name, s.Kind), nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	for _, ch := range change.AddChains {
		c.AddChain(chain(t, ch.Name, ch.Hook))
	}
	if err := writeElements(c, t, change); err != nil {
		return err
	}
	for _, ch := range change.Fill {
		c.FlushChain(chain(t, ch.Name, ruleset.Hook{}))
		for i, r := range ch.Rules {
			e, err := expressions(r)
			if err != nil {
				return fmt.Errorf("chain %s, rule %d: %w", ch.Name, i, err)
			}
			c.AddRule(&nftables.Rule{Table: t, Chain: chain(t, ch.Name, ruleset.Hook{}), Exprs: e})
		}
	}
	for _, name := range change.DropChains {
		c.FlushChain(chain(t, name, ruleset.Hook{}))
	}
	for _, name := range change.DropChains {
		c.DelChain(chain(t, name, ruleset.Hook{}))
	}
	for _, s := range change.DropSets {
		c.DelSet(set(t, s.Name, s.Kind))
	}
	for _, name := range change.DropCounters {
		c.DeleteObject(counter(t, name, 0))
	}
	return nil
}

func writeElements(c *nftables.Conn, t *nftables.Table, change ruleset.Change) error {
	deltas := slices.Clone(change.Elements)
	for _, s := range change.AddSets {
		deltas = append(deltas, ruleset.SetDelta{Name: s.Name, Kind: s.Kind, Add: slices.Collect(maps.Keys(s.Elements))})
	}
	for _, d := range deltas {
		for part := range slices.Chunk(d.Del, elementsPerMessage) {
			if err := c.SetDeleteElements(set(t, d.Name, d.Kind), encode(d.Kind, part)); err != nil {
				return fmt.Errorf("set %s: delete elements: %w", d.Name, err)
			}
		}
		for part := range slices.Chunk(d.Add, elementsPerMessage) {
			if err := c.SetAddElements(set(t, d.Name, d.Kind), encode(d.Kind, part)); err != nil {
				return fmt.Errorf("set %s: add elements: %w", d.Name, err)
			}
		}
	}
	return nil
}

func counter(t *nftables.Table, name string, packets uint64) *nftables.NamedObj {
	return &nftables.NamedObj{Table: t, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{Packets: packets}}
}

func chain(t *nftables.Table, name string, hook ruleset.Hook) *nftables.Chain {
	c := &nftables.Chain{Table: t, Name: name}
	if hook == (ruleset.Hook{}) {
		return c
	}
	c.Hooknum = map[ruleset.Point]*nftables.ChainHook{
		ruleset.Prerouting: nftables.ChainHookPrerouting, ruleset.Forward: nftables.ChainHookForward,
		ruleset.Output: nftables.ChainHookOutput, ruleset.Postrouting: nftables.ChainHookPostrouting,
	}[hook.Point]
	c.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(hook.Priority))
	c.Type = nftables.ChainTypeFilter
	if hook.NAT {
		c.Type = nftables.ChainTypeNAT
	}
	accept := nftables.ChainPolicyAccept
	c.Policy = &accept
	return c
}
