package verdict

import "slices"

// pages is a list of which one version stays as it is while the next is made: a
// change copies one of many pages. The zero pages is empty.
type pages[T any] struct {
	all   []*page[T]
	n     int    // elements
	owned []bool // pages that no other version shares; nil where all itself is shared
}

const pageSize = 64

type page[T any] [pageSize]T

// at is the element, to be read only.
func (p *pages[T]) at(i int) *T { return &p.all[uint(i)/pageSize][uint(i)%pageSize] }

// set also makes the list longer, with zeros before the element.
func (p *pages[T]) set(i int, v T) {
	if p.owned == nil {
		p.all, p.owned = slices.Clone(p.all), make([]bool, len(p.all))
	}
	at := i / pageSize
	for len(p.all) <= at {
		p.all, p.owned = append(p.all, new(page[T])), append(p.owned, true)
	}
	if !p.owned[at] {
		mine := *p.all[at]
		p.all[at], p.owned[at] = &mine, true
	}
	p.all[at][i%pageSize] = v
	p.n = max(p.n, i+1)
}

// share makes every page one that another version has as well.
func (p *pages[T]) share() { p.owned = nil }
