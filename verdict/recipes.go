package verdict

import (
	"encoding/binary"
	"slices"
)

// made is a recipe that the compiler keeps: the snapshot's.
type made struct{ *recipe }

// mixture is a recipe while rules are added.
type mixture struct {
	recipe
	all bool // everybody is allowed
}

// add adds a rule whose ports match as it is said.
func (m *mixture) add(t *term, ports truth) {
	switch {
	case ports == no:
	case t.all && ports == yes && !t.doubt:
		m.all = true
	case t.all, t.unsure && len(t.sets)+len(t.blocks) == 0:
		m.doubt = true
	case ports == yes && !t.doubt:
		m.sets, m.blocks, m.doubt = append(m.sets, t.sets...), append(m.blocks, t.blocks...), m.doubt || t.unsure
	default:
		m.doubtfulSets, m.doubtfulBlocks, m.doubt = append(m.doubtfulSets, t.sets...), append(m.doubtfulBlocks, t.blocks...), m.doubt || t.unsure
	}
}

// recipeFor returns the number of the recipe. A new one is held by nobody, and
// nor is what it holds.
func (c *compiler) recipeFor(m *mixture) int32 {
	if m.all {
		return everything
	}
	key := []byte{0}
	for _, list := range []*[]int32{&m.sets, &m.blocks, &m.doubtfulSets, &m.doubtfulBlocks} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		key = binary.AppendUvarint(key, uint64(len(*list)))
		for _, i := range *list {
			key = binary.AppendUvarint(key, uint64(i))
		}
	}
	if m.doubt {
		key[0] = 1
	} else if len(key) == 5 && len(m.sets)+len(m.blocks)+len(m.doubtfulSets)+len(m.doubtfulBlocks) == 0 {
		return nothing
	}
	e, fresh := c.recipes.intern(string(key))
	if fresh {
		r := m.recipe
		c.hold(&r, e.id)
		c.putRecipe(e.id, &r)
	}
	return e.id
}

func (c *compiler) putRecipe(id int32, r *recipe) {
	c.recipes.all[id].it.recipe = r
	c.next.recipes.set(int(id), r)
	c.stale(id)
}

func (c *compiler) hold(r *recipe, id int32) {
	for _, i := range slices.Concat(r.sets, r.doubtfulSets) {
		e := c.sets.all[i]
		e.refs++
		e.it.users = append(e.it.users, id)
	}
	for _, i := range slices.Concat(r.blocks, r.doubtfulBlocks) {
		e := c.blocks.all[i]
		e.refs++
		e.it.users = append(e.it.users, id)
	}
}

// releaseRecipe drops the recipe with its last holder, and what only it held.
func (c *compiler) releaseRecipe(id int32) {
	e := c.recipes.all[id]
	if e.refs--; e.refs > 0 {
		return
	}
	r := e.it.recipe
	for _, i := range slices.Concat(r.sets, r.doubtfulSets) {
		s := c.sets.all[i]
		s.it.users = remove(s.it.users, id)
		if s.refs--; s.refs == 0 {
			c.dropSet(s)
		}
	}
	for _, i := range slices.Concat(r.blocks, r.doubtfulBlocks) {
		s := c.blocks.all[i]
		s.it.users = remove(s.it.users, id)
		if s.refs--; s.refs == 0 {
			c.dropBlock(s)
		}
	}
	c.next.recipes.set(int(id), nil)
	c.stale(id)
	c.recipes.drop(e)
}
