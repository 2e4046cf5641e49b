package verdict

import (
	"slices"
	"strings"
	"sync/atomic"
)

// PodID names a pod within one Snapshot and those made from it by the engine's
// updates, as long as the pod exists. IDs of deleted pods are given out again.
type PodID int32

// Snapshot is a compiled world at one moment. It never changes, and any number
// of goroutines may read it.
//
//	pod ──► place: class, atoms, profile of each direction ──► record: the most needed of it, in a word
//	port ──► port class ──► column: the recipe of each profile ──► row: who is allowed, as bits over classes and atoms
//
// Pods that policies cannot tell apart by labels are of one class; addresses
// that no ipBlock tells apart are of one atom; ports that no profile tells apart
// are of one port class. Rows are made when they are first asked for.
type Snapshot struct {
	pods    pages[*Pod] // nil where a PodID is free
	ids     shards[PodID]
	records []record     // by PodID
	places  pages[place] // by PodID

	spaces  shards[*space]
	cluster *cluster

	classes pages[*class] // nil where a number is free
	tables  pages[*table] // of profiles
	recipes pages[*recipe]
	sets    pages[*planes] // classes that a peer selects
	blocks  pages[bits]    // atoms inside an ipBlock
	rows    []atomic.Pointer[row]
	hosts   int // host-network pods

	portClasses *[points]uint8 // of points
	columns     [][]uint16     // of a port class: the recipe of each profile
}

// space is a namespace: its labels, and the policies in it.
type space struct {
	name     string
	known    bool              // the labels are known
	own      map[string]string // as they were given
	labels   map[string]string // with the one that the API server adds
	policies []*networkPolicy  // by name
}

// class is what policies see of a pod, apart from its address and its node.
type class struct {
	namespace string
	labels    map[string]string
	ports     []Port
	host      bool // on the network of its node
}

// Pods yields every pod in the order of PodIDs.
func (s *Snapshot) Pods() func(yield func(PodID, *Pod) bool) {
	return func(yield func(PodID, *Pod) bool) {
		for i := range s.pods.n {
			if p := *s.pods.at(i); p != nil && !yield(PodID(i), p) {
				return
			}
		}
	}
}

// Find returns the pod of that key (namespace/name).
func (s *Snapshot) Find(key string) (PodID, bool) { return s.ids.get(key) }

// Pod returns the pod, or nil if the ID is free. It must not be changed.
func (s *Snapshot) Pod(id PodID) *Pod {
	if id < 0 || int(id) >= s.pods.n {
		return nil
	}
	return *s.pods.at(int(id))
}

// Class stands for pods of a snapshot that are judged alike: as sources and as
// targets, on every port. Only a pod's connections to itself differ. The zero
// Class is that of no pod. Classes of two snapshots have nothing in common.
type Class struct {
	labels    int32
	addresses [2]int32
	node      int32
}

// Class returns the class of the pod.
func (s *Snapshot) Class(id PodID) Class {
	if s.Pod(id) == nil {
		return Class{}
	}
	at := s.places.at(int(id))
	c := Class{labels: at.class + 1, addresses: at.atom}
	if s.hosts > 0 {
		c.node = at.node // a host-network pod may be taken for the node it is on
	}
	if at.flags&manyAddresses != 0 {
		c.addresses[0] = -1 - int32(id) // not worth a name: such pods are not valid
	}
	return c
}

// World returns the world that the snapshot was compiled from, in an order of
// its own. It may be changed, apart from what its elements share with the
// snapshot.
func (s *Snapshot) World() World {
	w := World{Namespaces: map[string]map[string]string{}, Foreign: slices.Clone(s.cluster.foreign), Nodes: slices.Clone(s.cluster.nodes)}
	for name, sp := range s.spaces.all {
		if sp.known {
			w.Namespaces[name] = sp.own
		}
		for _, p := range sp.policies {
			w.Policies = append(w.Policies, p.Policy)
		}
	}
	slices.SortFunc(w.Policies, func(a, b Policy) int { return strings.Compare(a.Key(), b.Key()) })
	for _, p := range s.cluster.policies {
		w.ClusterPolicies = append(w.ClusterPolicies, p.ClusterPolicy)
	}
	return w
}
