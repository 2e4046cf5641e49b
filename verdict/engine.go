package verdict

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
)

// PodID names a pod within one Snapshot and those made from it by the engine's
// updates, as long as the pod exists. IDs of deleted pods are given out again.
type PodID int32

// Engine keeps a world compiled while it changes. One writer at a time changes
// it; readers take a Snapshot and use it without locks for as long as they like.
type Engine struct {
	mu  sync.Mutex // held by writers
	now atomic.Pointer[Snapshot]
}

// Snapshot is a compiled world at one moment. It never changes.
type Snapshot struct {
	world World
	pods  []*Pod // nil where a PodID is free
	ids   map[string]PodID
}

// New compiles the world and its pods. Nothing in them may be changed
// afterwards. Of pods, namespaces and policies with one key, the last one counts.
func New(w World, pods []Pod) *Engine {
	s := &Snapshot{world: w, ids: map[string]PodID{}}
	for i := range pods {
		s.set(&pods[i])
	}
	e := &Engine{}
	e.now.Store(s)
	return e
}

// Compile is New for a world that will not change.
func Compile(w World, pods []Pod) *Snapshot { return New(w, pods).Snapshot() }

// Snapshot returns the newest state.
func (e *Engine) Snapshot() *Snapshot { return e.now.Load() }

// SetPod adds the pod, or replaces the one of that key.
func (e *Engine) SetPod(p Pod) { e.update(func(s *Snapshot) { s.set(&p) }) }

// DeletePod removes the pod of that key (namespace/name), if there is one.
func (e *Engine) DeletePod(key string) {
	e.update(func(s *Snapshot) {
		if id, ok := s.ids[key]; ok {
			s.pods[id] = nil
			delete(s.ids, key)
		}
	})
}

// SetPolicy adds the policy, or replaces the one of that key.
func (e *Engine) SetPolicy(p Policy) {
	e.update(func(s *Snapshot) {
		s.world.Policies = append(without(s.world.Policies, p.Key()), p)
	})
}

// DeletePolicy removes the policy of that key (namespace/name), if there is one.
func (e *Engine) DeletePolicy(key string) {
	e.update(func(s *Snapshot) { s.world.Policies = without(s.world.Policies, key) })
}

// SetNamespace sets the labels of a namespace; nil means that it has none.
func (e *Engine) SetNamespace(name string, labels map[string]string) {
	e.update(func(s *Snapshot) { s.world.Namespaces[name] = labels })
}

func without(all []Policy, key string) []Policy {
	return slices.DeleteFunc(slices.Clone(all), func(p Policy) bool { return p.Key() == key })
}

func (e *Engine) update(change func(*Snapshot)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.now.Load()
	s := &Snapshot{world: old.world, pods: slices.Clone(old.pods), ids: maps.Clone(old.ids)}
	s.world.Namespaces = map[string]map[string]string{}
	maps.Copy(s.world.Namespaces, old.world.Namespaces)
	change(s)
	e.now.Store(s)
}

func (s *Snapshot) set(p *Pod) {
	id, ok := s.ids[p.Key()]
	if !ok {
		id = PodID(slices.Index(s.pods, nil))
		if id < 0 {
			id, s.pods = PodID(len(s.pods)), append(s.pods, nil)
		}
		s.ids[p.Key()] = id
	}
	s.pods[id] = p
}

// Pods yields every pod in the order of PodIDs.
func (s *Snapshot) Pods() func(yield func(PodID, *Pod) bool) {
	return func(yield func(PodID, *Pod) bool) {
		for i, p := range s.pods {
			if p != nil && !yield(PodID(i), p) {
				return
			}
		}
	}
}

// Find returns the pod of that key (namespace/name).
func (s *Snapshot) Find(key string) (PodID, bool) {
	id, ok := s.ids[key]
	return id, ok
}

// Pod returns the pod, or nil if the ID is free. It must not be changed.
func (s *Snapshot) Pod(id PodID) *Pod {
	if id < 0 || int(id) >= len(s.pods) {
		return nil
	}
	return s.pods[id]
}

// Decide is Judge without the explanation, for a connection between two pods of
// the snapshot. An empty protocol is TCP. A free PodID is Unknown.
func (s *Snapshot) Decide(from, to PodID, port int32, protocol corev1.Protocol) Decision {
	a, b := s.Pod(from), s.Pod(to)
	if a == nil || b == nil {
		return Unknown
	}
	return s.Judge(Conn{From: End{Pod: a}, To: End{Pod: b}, Port: port, Protocol: protocol}).Decision
}

// Judge decides about one connection and says why. Its ends may be pods that
// the snapshot does not hold, and addresses.
func (s *Snapshot) Judge(c Conn) Verdict { return s.world.Judge(c) }
