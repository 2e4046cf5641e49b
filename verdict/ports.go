package verdict

import (
	"sort"

	corev1 "k8s.io/api/core/v1"
)

// The protocols that v1 defines policies for, as indices of tables.
const (
	indexTCP = iota
	indexUDP
	indexSCTP
	protocols // how many there are, and every other protocol
)

var protocolNames = [protocols]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}

func protocolIndex(p corev1.Protocol) int {
	switch p {
	case corev1.ProtocolTCP, "":
		return indexTCP
	case corev1.ProtocolUDP:
		return indexUDP
	case corev1.ProtocolSCTP:
		return indexSCTP
	}
	return protocols
}

// portTable finds the recipe of a port for one profile and protocol. It fills
// one cache line. Up to shortTable intervals of ports are found without a loop
// or a branch: the ports at which intervals begin lie in lanes of words, and one
// subtraction compares all the lanes of a word with the port.
type portTable struct {
	starts  [words]uint64     // from the second interval on; unused lanes hold a port that is none
	recipes [shortTable]int32 // of each interval
}

const (
	words      = 3
	lanes      = 3  // in a word
	lane       = 21 // bits: 17 for a port or the first number that is none, above them a guard
	guard      = 1<<(lane-1) | 1<<(2*lane-1) | 1<<(3*lane-1)
	ones       = 1 | 1<<lane | 1<<(2*lane)
	shortTable = words*lanes + 1
	noPort     = 65536
)

// longTable is what most profiles do not need.
type longTable struct {
	starts  []int32 // nil: those of the portTable
	recipes []int32
	named   []namedRule
}

// namedRule allows what its recipe says on ports that the target declares by
// that name. Only egress has it: ingress names are looked up once for a profile,
// because the target is the pod that the profile is of.
type namedRule struct {
	name   string
	recipe int32
}

// lanesOf puts the port into every lane, below a guard that stays where the
// lane's start is not greater.
func lanesOf(port int32) uint64 { return uint64(uint32(port))*ones | guard }

// short finds the recipe in a table that is not long.
func (t *portTable) short(lanes uint64) int32 {
	begun := (lanes-t.starts[0])&guard + (lanes-t.starts[1])&guard + (lanes-t.starts[2])&guard
	return t.recipes[begun>>(lane-1)*ones>>(2*lane)&15]
}

// recipeOn finds the recipe in a table of any length.
func (s *Snapshot) recipeOn(table int, port int32) int32 {
	t := *s.long.at(table)
	if t == nil || t.starts == nil {
		return s.tables[table].short(lanesOf(port))
	}
	return t.recipes[sort.Search(len(t.starts), func(i int) bool { return port < t.starts[i] })]
}

// putTable sets the table of this number: starts has one element less than
// recipes. It reports whether the table is a long one.
func (c *compiler) putTable(table int, starts, recipes []int32, named []namedRule) bool {
	var t portTable
	var long *longTable
	if len(named) > 0 || len(recipes) > shortTable {
		long = &longTable{named: named}
	}
	if len(recipes) > shortTable {
		long.starts, long.recipes = starts, recipes
	} else {
		copy(t.recipes[:], recipes)
		for i := range words * lanes {
			start := uint64(noPort)
			if i < len(starts) {
				start = uint64(starts[i])
			}
			t.starts[i/lanes] |= start << (i % lanes * lane)
		}
	}
	own(&c.next.tables, &c.owns.tables, table)[table] = t
	c.next.long.set(table, long)
	return long != nil
}
