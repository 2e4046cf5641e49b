package faults

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// tableName is of the table that a fault adds somewhere.
func tableName(id int) string { return fmt.Sprintf("tightrope_fault_%d", id) }

// partition drops, on the underlay's bridge, every frame between members of
// different groups. The control plane is the bridge's own machine.
func (k *Keeper) partition(id int, groups [][]string) (undo, error) {
	if len(groups) == 1 {
		rest := slices.DeleteFunc(k.machine.Nodes(), func(n string) bool { return slices.Contains(groups[0], n) })
		groups = append(slices.Clone(groups), rest)
	}
	t := &nftables.Table{Name: tableName(id), Family: nftables.TableFamilyBridge}
	c := &nftables.Conn{}
	c.AddTable(t)
	forward := bridgeChain(c, t, "forward", nftables.ChainHookForward)
	input := bridgeChain(c, t, "input", nftables.ChainHookInput)
	output := bridgeChain(c, t, "output", nftables.ChainHookOutput)
	for i, a := range groups {
		for j, b := range groups {
			if i == j {
				continue
			}
			for _, from := range a {
				for _, to := range b {
					switch {
					case from == ControlPlane:
						drop(c, t, output, interfaceIs(expr.MetaKeyOIFNAME, k.machine.Port(to)))
					case to == ControlPlane:
						drop(c, t, input, interfaceIs(expr.MetaKeyIIFNAME, k.machine.Port(from)))
					default:
						drop(c, t, forward, interfaceIs(expr.MetaKeyIIFNAME, k.machine.Port(from)),
							interfaceIs(expr.MetaKeyOIFNAME, k.machine.Port(to)))
					}
				}
			}
		}
	}
	if err := c.Flush(); err != nil {
		return nothing, fmt.Errorf("filter on the underlay's bridge: %w", err)
	}
	return func(context.Context) error {
		c := &nftables.Conn{}
		c.DelTable(t)
		if err := c.Flush(); err != nil {
			return fmt.Errorf("remove the filter on the underlay's bridge: %w", err)
		}
		return nil
	}, nil
}

func bridgeChain(c *nftables.Conn, t *nftables.Table, name string, hook *nftables.ChainHook) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return c.AddChain(&nftables.Chain{Table: t, Name: name, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &accept})
}

func drop(c *nftables.Conn, t *nftables.Table, ch *nftables.Chain, matches ...[]expr.Any) {
	all := append(slices.Concat(matches...), &expr.Verdict{Kind: expr.VerdictDrop})
	c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: all})
}

// interfaceIs matches a name, which the kernel compares with its final zeros.
func interfaceIs(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded}}
}
