package verdict

import (
	"hash/maphash"
	"maps"
)

// shards is a map of which one version stays as it is while the next is made:
// a change copies one of many small maps. The zero shards is empty.
type shards[V any] struct {
	parts *[shardCount]map[string]V
	owned [shardCount]bool // parts that no other version shares
	fresh bool             // parts itself is not shared
}

const shardCount = 256

var shardSeed = maphash.MakeSeed()

func shardOf(key string) uint8 { return uint8(maphash.String(shardSeed, key)) }

func (s *shards[V]) get(key string) (V, bool) {
	if s.parts == nil {
		var zero V
		return zero, false
	}
	v, ok := s.parts[shardOf(key)][key]
	return v, ok
}

// part is the small map of the key, private to this version.
func (s *shards[V]) part(key string) map[string]V {
	if !s.fresh {
		var parts [shardCount]map[string]V
		if s.parts != nil {
			parts = *s.parts
		}
		s.parts, s.owned, s.fresh = &parts, [shardCount]bool{}, true
	}
	i := shardOf(key)
	if !s.owned[i] {
		m := maps.Clone(s.parts[i])
		if m == nil {
			m = map[string]V{}
		}
		s.parts[i], s.owned[i] = m, true
	}
	return s.parts[i]
}

func (s *shards[V]) set(key string, v V) { s.part(key)[key] = v }

func (s *shards[V]) delete(key string) { delete(s.part(key), key) }

// share gives the version away: it must not be changed, and s may go on.
func (s *shards[V]) share() shards[V] {
	s.fresh = false
	return shards[V]{parts: s.parts}
}

func (s *shards[V]) all(yield func(string, V) bool) {
	if s.parts == nil {
		return
	}
	for _, m := range s.parts {
		for k, v := range m {
			if !yield(k, v) {
				return
			}
		}
	}
}
