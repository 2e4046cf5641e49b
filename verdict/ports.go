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

// points number the ports of all protocols, so that one list has them all.
const points = protocols << 16

func pointOf(protocol int, port int32) int32 { return int32(protocol)<<16 | port }

// table is what a profile says of every point. It is looked into where the port
// classes do not say it.
type table struct {
	intervals []interval // the first begins at the first point
	named     []namedRule
}

// interval of points on which a recipe is the profile's, up to the next one.
type interval struct{ start, recipe int32 }

// namedRule allows what its recipe says on ports that the target declares by
// that name. Only egress has it: ingress names are looked up once for a profile,
// because the target is the pod that the profile is of.
type namedRule struct {
	name     string
	protocol corev1.Protocol
	recipe   int32
}

func (t *table) recipe(point int32) int32 {
	next := sort.Search(len(t.intervals), func(i int) bool { return point < t.intervals[i].start })
	return t.intervals[next-1].recipe
}
