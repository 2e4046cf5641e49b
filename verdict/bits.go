package verdict

import "slices"

// bits is a set of small numbers. It never changes once others can see it: a
// change makes a copy. Numbers beyond its length are not in it, so that a new
// number concerns only the sets that hold it.
type bits []uint64

func (b bits) has(i int32) bool {
	w := uint(uint32(i) >> 6)
	return w < uint(len(b)) && b[w]>>(uint32(i)&63)&1 != 0
}

// put changes b itself, which must still be private.
func (b *bits) put(i int32, in bool) {
	w := int(i >> 6)
	if !in {
		if w < len(*b) {
			(*b)[w] &^= 1 << (uint32(i) & 63)
		}
		return
	}
	for len(*b) <= w {
		*b = append(*b, 0)
	}
	(*b)[w] |= 1 << (uint32(i) & 63)
}

// with is a copy in which i is in the set or not.
func (b bits) with(i int32, in bool) bits {
	if b.has(i) == in {
		return b
	}
	c := make(bits, max(len(b), int(i>>6)+1))
	copy(c, b)
	c.put(i, in)
	return c
}

// join adds all of c to b, which must still be private.
func (b *bits) join(c bits) {
	if len(*b) < len(c) {
		*b = append(slices.Grow(*b, len(c)-len(*b)), make(bits, len(c)-len(*b))...)
	}
	d := (*b)[:len(c)]
	for i, w := range c {
		d[i] |= w
	}
}

// union is the set of all of them. Of one set it is that set, not a copy.
func union(all []bits) bits {
	var only bits
	n := 0
	for _, b := range all {
		if len(b) > 0 {
			only, n = b, n+1
		}
	}
	if n < 2 {
		return only
	}
	var u bits
	for _, b := range all {
		u.join(b)
	}
	return u
}
