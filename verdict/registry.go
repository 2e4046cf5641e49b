package verdict

// registry numbers things that are made once for a key and are dropped when
// nobody holds them any more. Numbers of dropped ones are given out again.
type registry[T any] struct {
	byKey map[string]*entry[T]
	all   []*entry[T] // nil where a number is free
	free  []int32
}

type entry[T any] struct {
	id   int32
	key  string
	refs int // how many hold it
	it   T
}

// intern returns the entry of the key, and whether it is new.
func (r *registry[T]) intern(key string) (e *entry[T], fresh bool) {
	if e = r.byKey[key]; e != nil {
		return e, false
	}
	e = &entry[T]{key: key}
	if n := len(r.free); n > 0 {
		e.id, r.free = r.free[n-1], r.free[:n-1]
		r.all[e.id] = e
	} else {
		e.id = int32(len(r.all))
		r.all = append(r.all, e)
	}
	if r.byKey == nil {
		r.byKey = map[string]*entry[T]{}
	}
	r.byKey[key] = e
	return e, true
}

func (r *registry[T]) drop(e *entry[T]) {
	delete(r.byKey, e.key)
	r.all[e.id] = nil
	r.free = append(r.free, e.id)
}
