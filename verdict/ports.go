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
	starts  [words]uint64 // from the second interval on; unused lanes hold a port that is none
	recipes [8]int32      // of each interval
	long    *longTable    // nil: the rest of the table is all there is
	_       uint64
}

const (
	words      = 2
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
	begun := (lanes-t.starts[0])&guard>>(lane-1) + (lanes-t.starts[1])&guard>>(lane-1)
	return t.recipes[begun*ones>>(2*lane)&7]
}

func (t *portTable) recipe(port int32) int32 {
	if t.long != nil && t.long.starts != nil {
		return t.long.recipe(port)
	}
	return t.short(lanesOf(port))
}

func (t *longTable) recipe(port int32) int32 {
	i := sort.Search(len(t.starts), func(i int) bool { return port < t.starts[i] })
	return t.recipes[i]
}

// newTable: starts has one element less than recipes.
func newTable(starts, recipes []int32, named []namedRule) portTable {
	var t portTable
	if len(named) > 0 || len(recipes) > shortTable {
		t.long = &longTable{named: named}
	}
	if len(recipes) > shortTable {
		t.long.starts, t.long.recipes = starts, recipes
		return t
	}
	for i := range words * lanes {
		start := uint64(noPort)
		if i < len(starts) {
			start = uint64(starts[i])
		}
		t.starts[i/lanes] |= start << (i % lanes * lane)
	}
	copy(t.recipes[:], recipes)
	return t
}

// constantTable has one recipe for all ports.
func constantTable(recipe int32) portTable { return newTable(nil, []int32{recipe}, nil) }
