package verdict

import "slices"

// planes are two sets of classes: those that certainly match, and those that may.
type planes struct{ yes, maybe bits }

// recipe says what a row is the union of. Profiles share recipes, so that rows
// that are the same are made once.
type recipe struct {
	sets, blocks                 []int32 // what they match is allowed
	doubtfulSets, doubtfulBlocks []int32 // what they match may be allowed
	doubt                        bool    // everything may be allowed
}

// The recipes that are always there.
const (
	nothing    = 0
	everything = 1
)

// row is who may be at the other end of a connection.
type row struct {
	classes bits // allowed by their labels
	certain bool // classes says it all: what is not in it is denied

	doubt         bool // everything else may be allowed
	blocks        bool // addresses matter
	doubtful      bits // classes that may be allowed
	atoms         bits // allowed by their addresses
	doubtfulAtoms bits
}

// row returns the row of the recipe, and makes it if nobody has asked for it
// yet. Two readers that make it at once make the same.
func (s *Snapshot) row(i int32) *row {
	if r := s.rows[i].Load(); r != nil {
		return r
	}
	return s.cook(i)
}

func (s *Snapshot) cook(i int32) *row {
	c := s.recipes[i]
	r := &row{doubt: c.doubt}
	if i == everything {
		r.classes = slices.Repeat(bits{^uint64(0)}, len(s.classes)/64+1)
	} else {
		r.classes = s.join(c.sets, func(p *planes) bits { return p.yes })
	}
	sure := s.join(c.sets, func(p *planes) bits { return p.maybe })
	r.doubtful = union([]bits{
		sure,
		s.join(c.doubtfulSets, func(p *planes) bits { return p.yes }),
		s.join(c.doubtfulSets, func(p *planes) bits { return p.maybe }),
	})
	r.atoms, r.doubtfulAtoms = s.joinBlocks(c.blocks), s.joinBlocks(c.doubtfulBlocks)
	r.blocks = len(c.blocks)+len(c.doubtfulBlocks) > 0
	r.certain = i == everything || !r.doubt && !r.blocks && len(r.doubtful) == 0
	s.rows[i].Store(r)
	return r
}

func (s *Snapshot) join(sets []int32, plane func(*planes) bits) bits {
	all := make([]bits, 0, len(sets))
	for _, i := range sets {
		all = append(all, plane(s.sets[i]))
	}
	return union(all)
}

func (s *Snapshot) joinBlocks(blocks []int32) bits {
	all := make([]bits, 0, len(blocks))
	for _, i := range blocks {
		all = append(all, s.blocks[i])
	}
	return union(all)
}

// allows says whether the row lets in the class, at an address of the atom.
func (r *row) allows(class, atom int32) truth {
	switch {
	case r.classes.has(class), r.atoms.has(atom):
		return yes
	case r.doubt, r.doubtful.has(class), r.doubtfulAtoms.has(atom), r.blocks && atom == noAddress:
		return maybe
	}
	return no
}
