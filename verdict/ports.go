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

// shortTable is how many intervals of ports are found without a search.
const shortTable = 8

// portTable finds the recipe of a port for one profile and protocol. It fills
// one cache line. Interval i is that of ports above cuts[i-1] and up to cuts[i].
type portTable struct {
	cuts    [shortTable]uint16 // unused ones are 65535, above which is no port
	recipes [shortTable]int32
	long    *longTable // nil: the rest of the table is all there is
	_       uint64
}

// longTable is what most profiles do not need.
type longTable struct {
	cuts    []uint16 // nil: those of the portTable
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

func (t *portTable) recipe(port int32) int32 {
	if t.long != nil && t.long.cuts != nil {
		i := sort.Search(len(t.long.cuts), func(i int) bool { return port <= int32(t.long.cuts[i]) })
		return t.long.recipes[i]
	}
	p := uint32(port)
	n := (uint32(t.cuts[0])-p)>>31 + (uint32(t.cuts[1])-p)>>31 + (uint32(t.cuts[2])-p)>>31 + (uint32(t.cuts[3])-p)>>31 +
		(uint32(t.cuts[4])-p)>>31 + (uint32(t.cuts[5])-p)>>31 + (uint32(t.cuts[6])-p)>>31
	return t.recipes[n&(shortTable-1)]
}
