// Package kernel programs. A Table is the node's nftables table, `inet tightrope`,
// in one network namespace: Apply and Update send a Change as one transaction that
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

// TableName is the name of the table; its family is TableFamily.
const (
	TableName   = "tightrope"
	TableFamily = nftables.TableFamilyINet
)

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

// Apply makes the table hold exactly wanted; see Update.
func (t *Table) Apply(wanted ruleset.Ruleset) (rebuilt bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := wanted.Names()
	if t.known {
		names.Add(t.current.Names())
	}
	return t.update(wanted, names)
}

// Update makes the table hold wanted, which differs from what it was last told in
// these names only. What changes, changes in one transaction. After an error the
// table's content is not known any more: the next call builds it anew, whatever
// the names, and counters go on from what they had counted. rebuilt says that
// this happened.
func (t *Table) Update(wanted ruleset.Ruleset, names ruleset.Names) (rebuilt bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.update(wanted, names)
}

func (t *Table) update(wanted ruleset.Ruleset, names ruleset.Names) (rebuilt bool, err error) {
	if t.known {
		change := ruleset.DiffNames(t.current, wanted, names)
		if change.Empty() {
			return false, nil
		}
		err = t.link.transact(func(c *nftables.Conn) error { return write(c, change) })
		if err == nil {
			t.current.Take(wanted, names)
			return false, nil
		}
	}
	if t.known && !errors.Is(err, errTooLarge) {
		t.known = false
		return false, fmt.Errorf("nftables: %w", err)
	}
	t.known = false
	if err := t.rebuild(wanted); err != nil {
		return true, fmt.Errorf("nftables: %w", err)
	}
	t.current, t.known = ruleset.New(), true
	t.current.Take(wanted, wanted.Names())
	return true, nil
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
	return &nftables.Table{Name: TableName, Family: TableFamily}
}

// write puts a whole change into the connection's buffer.
func write(c *nftables.Conn, change ruleset.Change) error {
	t := table()
	for _, name := range change.AddCounters {
		c.AddObj(counter(t, name, 0))
	}
	for _, s := range change.AddSets {
		if err := c.AddSet(set(t, s.Name, s.Set), nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	for _, ch := range change.AddChains {
		c.AddChain(chain(t, ch.Name, ch.Hook))
	}
	for _, s := range change.AddSets {
		if err := addElements(c, t, s.Name, s.Kind, slices.Collect(maps.Keys(s.Elements))); err != nil {
			return err
		}
	}
	for _, d := range change.Elements {
		if err := writeDelta(c, t, d); err != nil {
			return err
		}
	}
	for _, ch := range change.Fill {
		c.FlushChain(chain(t, ch.Name, ruleset.Hook{}))
		if err := appendRules(c, t, ch.Name, ch.Rules); err != nil {
			return err
		}
	}
	for _, name := range change.DropChains {
		c.FlushChain(chain(t, name, ruleset.Hook{}))
	}
	for _, name := range change.DropChains {
		c.DelChain(chain(t, name, ruleset.Hook{}))
	}
	for _, s := range change.DropSets {
		c.DelSet(set(t, s.Name, s.Set))
	}
	for _, name := range change.DropCounters {
		c.DeleteObject(counter(t, name, 0))
	}
	return nil
}

func writeDelta(c *nftables.Conn, t *nftables.Table, d ruleset.SetDelta) error {
	for part := range slices.Chunk(d.Del, elementsPerMessage) {
		if err := c.SetDeleteElements(set(t, d.Name, ruleset.Set{Kind: d.Kind}), encode(d.Kind, part)); err != nil {
			return fmt.Errorf("set %s: delete elements: %w", d.Name, err)
		}
	}
	return addElements(c, t, d.Name, d.Kind, d.Add)
}

func addElements(c *nftables.Conn, t *nftables.Table, name string, kind ruleset.Kind, elements []ruleset.Element) error {
	for part := range slices.Chunk(elements, elementsPerMessage) {
		if err := c.SetAddElements(set(t, name, ruleset.Set{Kind: kind}), encode(kind, part)); err != nil {
			return fmt.Errorf("set %s: add elements: %w", name, err)
		}
	}
	return nil
}

func appendRules(c *nftables.Conn, t *nftables.Table, name string, rules []ruleset.Rule) error {
	for i, r := range rules {
		e, err := expressions(r)
		if err != nil {
			return fmt.Errorf("chain %s, rule %d: %w", name, i, err)
		}
		c.AddRule(&nftables.Rule{Table: t, Chain: chain(t, name, ruleset.Hook{}), Exprs: e})
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
		ruleset.Prerouting: nftables.ChainHookPrerouting, ruleset.Input: nftables.ChainHookInput, ruleset.Forward: nftables.ChainHookForward,
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
