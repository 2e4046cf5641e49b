package operator

import (
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// others are the policies of other kinds that the mirror shows. The zero value has none.
type others struct {
	turns chan struct{} // holds one where the first run came, or the last went, since it was read; nil: nobody reads
	byKey map[otherKind]map[types.NamespacedName]otherPolicy

	version uint64                   // counts the changes
	grouped map[string][]otherPolicy // by namespace; see byNamespace
}

// followed reports whether any run follows the mirror.
func (m *mirror) followed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.wakes) > 0
}

// turn has it noted that runs came or went.
func (o *others) turn() {
	select {
	case o.turns <- struct{}{}:
	default: // it is noted, or nobody reads
	}
}

// putOther takes note of a policy, and wakes the runs that it may be of, unless it is as
// it was: a status that somebody writes again and again is no news.
func (m *mirror) putOther(p otherPolicy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := types.NamespacedName{Namespace: p.namespace, Name: p.name}
	if was, ok := m.others.byKey[p.kind][key]; ok && reflect.DeepEqual(was.reaches, p.reaches) {
		return
	}
	if m.others.byKey == nil {
		m.others.byKey = map[otherKind]map[types.NamespacedName]otherPolicy{}
	}
	if m.others.byKey[p.kind] == nil {
		m.others.byKey[p.kind] = map[types.NamespacedName]otherPolicy{}
	}
	m.others.byKey[p.kind][key] = p
	m.changedOther(p.namespace)
}

// dropOther takes note that a policy is gone.
func (m *mirror) dropOther(kind otherKind, key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.others.byKey[kind], key)
	m.changedOther(key.Namespace)
}

// othersOf lists the policies of one kind by name.
func (m *mirror) othersOf(kind otherKind) []types.NamespacedName {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.others.byKey[kind]))
}

// changedOther wakes the runs that follow a namespace; one of the cluster may be of each.
func (m *mirror) changedOther(namespace string) {
	m.now, m.others.grouped = nil, nil
	m.others.version++
	for of, runs := range m.wakes {
		if namespace != "" && namespace != of.namespace {
			continue
		}
		for _, wake := range runs {
			wake()
		}
	}
}

// byNamespace groups the policies; those of the cluster are under the empty name. What it
// returns is never changed again.
func (o *others) byNamespace() map[string][]otherPolicy {
	if o.grouped != nil {
		return o.grouped
	}
	o.grouped = map[string][]otherPolicy{}
	for _, policies := range o.byKey {
		for _, p := range policies {
			o.grouped[p.namespace] = append(o.grouped[p.namespace], p)
		}
	}
	return o.grouped
}
