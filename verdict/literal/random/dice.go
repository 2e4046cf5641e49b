// Package random makes worlds, connections and changes for tests that hold two
// readings of policies against each other. Worlds are small and crowded: few
// labels, ports and addresses, so that selectors match, ranges meet and rules
// overlap; whatever the API server would refuse is made as well, but in few
// worlds, because it makes much Unknown. The same choices make the same world,
// whether they come from a seed or from the bytes of a fuzzer.
//
//	choices ──► World, pods ──► Conn, Conn, … ──► Change ──► Conn, …
package random

import (
	"math/rand/v2"
)

// Chooser makes the choices: IntN returns one of 0 to n-1.
type Chooser interface{ IntN(n int) int }

// Dice makes one world and what happens in it. Its zero value is not usable.
type Dice struct {
	Chooser
	style style
	world *world
}

// style is what a whole world has in common.
type style struct {
	invalid bool // things that the API server would refuse
	strange bool // namespaces that are not known, pods without addresses
	hosts   bool // pods on their nodes' network
	cluster bool // ClusterNetworkPolicies
	foreign bool // policies of kinds that are not understood
	big     bool // more policies and labels than a machine word has bits
	stack   int  // 0: IPv4, 1: IPv6, 2: both
}

// Seed makes dice whose choices follow from the seed.
func Seed(seed uint64) *Dice {
	return &Dice{Chooser: rand.New(rand.NewPCG(seed, 0x7469676874726f70))}
}

// Bytes makes dice whose choices are the bytes, one each (two above 256
// possibilities), and zeros when they are used up.
func Bytes(b []byte) *Dice { return &Dice{Chooser: &bytesChooser{b}} }

type bytesChooser struct{ rest []byte }

func (c *bytesChooser) IntN(n int) int {
	v := c.next()
	if n > 256 {
		v = v<<8 | c.next()
	}
	return v % n
}

func (c *bytesChooser) next() int {
	if len(c.rest) == 0 {
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return int(b)
}

// one in n.
func (d *Dice) one(n int) bool { return d.IntN(n) == n-1 }

func pick[T any](d *Dice, all ...T) T { return all[d.IntN(len(all))] }

// some returns up to n things.
func some[T any](d *Dice, n int, make func() T) []T {
	var all []T
	for range d.IntN(n + 1) {
		all = append(all, make())
	}
	return all
}
