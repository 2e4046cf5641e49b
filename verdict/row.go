package verdict

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
	mixed      = 2 // several, or too large a number for a column: the profile's table has it. Nobody makes its row
)

// code is what a row says about a class by its labels.
type code = uint64

const (
	refuses code = iota // whatever its address
	lets                // whatever its address
	depends             // on its address, or on what is not known
)

// row is who may be at the other end of a connection.
type row struct {
	codes []uint64 // of classes, two bits each
	rest  code     // of classes beyond

	doubt         bool // everybody else may be allowed
	blocks        bool // addresses matter
	doubtful      bits // classes that may be allowed
	atoms         bits // allowed by their addresses
	doubtfulAtoms bits
}

const perWord = 32 // codes

func (r *row) code(class int32) code {
	if w := uint(uint32(class) / perWord); w < uint(len(r.codes)) {
		return r.codes[w] >> (uint32(class) % perWord * 2) & 3
	}
	return r.rest
}

// row returns the row of the recipe, and makes it if nobody has asked for it
// yet. Two readers that make it at once make the same.
func (s *Snapshot) row(i int32) *row {
	r := s.rows[i].Load()
	if r == nil {
		r = s.cook(i)
		s.rows[i].Store(r)
	}
	return r
}

func (s *Snapshot) cook(i int32) *row {
	if i == everything {
		return &row{rest: lets}
	}
	c := *s.recipes.at(int(i))
	r := &row{doubt: c.doubt, blocks: len(c.blocks)+len(c.doubtfulBlocks) > 0, atoms: s.joinBlocks(c.blocks), doubtfulAtoms: s.joinBlocks(c.doubtfulBlocks)}
	in := s.join(c.sets, func(p *planes) bits { return p.yes })
	r.doubtful = union([]bits{
		s.join(c.sets, func(p *planes) bits { return p.maybe }),
		s.join(c.doubtfulSets, func(p *planes) bits { return p.yes }),
		s.join(c.doubtfulSets, func(p *planes) bits { return p.maybe }),
	})
	if r.doubt || r.blocks {
		r.rest = depends
	}
	r.encode(in)
	return r
}

// encode writes the codes: of the classes in the set, of those in doubt, and of
// the others as far as the sets go.
func (r *row) encode(in bits) {
	n := max(len(in), len(r.doubtful))
	r.codes = make([]uint64, 2*n)
	for w := range n {
		var l, d uint64
		if w < len(in) {
			l = in[w]
		}
		if w < len(r.doubtful) {
			d = r.doubtful[w]
		}
		if r.rest == depends {
			d = ^uint64(0)
		}
		d &^= l
		r.codes[2*w] = spread(uint32(l)) | spread(uint32(d))<<1
		r.codes[2*w+1] = spread(uint32(l>>32)) | spread(uint32(d>>32))<<1
	}
}

// spread puts a zero after each bit.
func spread(b uint32) uint64 {
	x := uint64(b)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

func (s *Snapshot) join(sets []int32, plane func(*planes) bits) bits {
	all := make([]bits, 0, len(sets))
	for _, i := range sets {
		all = append(all, plane(*s.sets.at(int(i))))
	}
	return union(all)
}

func (s *Snapshot) joinBlocks(blocks []int32) bits {
	all := make([]bits, 0, len(blocks))
	for _, i := range blocks {
		all = append(all, *s.blocks.at(int(i)))
	}
	return union(all)
}

// allows says whether the row lets in the class, at an address of the atom.
func (r *row) allows(class, atom int32) truth {
	switch r.code(class) {
	case lets:
		return yes
	case refuses:
		return no
	}
	switch {
	case r.atoms.has(atom):
		return yes
	case r.doubt, r.doubtful.has(class), r.doubtfulAtoms.has(atom), r.blocks && atom == noAddress:
		return maybe
	}
	return no
}
