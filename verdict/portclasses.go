package verdict

import (
	"encoding/binary"
	"math"
	"slices"
)

// maxPortClasses is as many as a byte tells apart. Clusters treat some dozens of
// ports differently; what policies say of more is found in the tables.
const maxPortClasses = math.MaxUint8 + 1

// onePortClass is where every snapshot begins. It is shared, and never written.
var onePortClass [points]uint8

// tableOf says the same of every point.
func tableOf(recipe int32) *table { return &table{intervals: []interval{{0, recipe}}} }

// putTable sets the table of the profile. Points that it is the first to tell
// apart are of different port classes from now on.
func (c *compiler) putTable(profile int32, t *table) {
	c.next.tables.set(int(profile), t)
	if c.portsToMerge && len(c.next.columns)+len(t.intervals) > c.portClassLimit {
		c.mergePortClasses()
	}
	c.ownColumns(int(profile))
	for class, recipe := range c.dividePortClasses(t) {
		if recipe > math.MaxUint16 {
			recipe = mixed
		}
		c.next.columns[class][profile] = uint16(recipe)
	}
}

// dividePortClasses divides those of which the table says more than one thing,
// and returns what it says of each.
func (c *compiler) dividePortClasses(t *table) map[uint8]int32 {
	starts := slices.Clone(c.portStarts)
	for _, i := range t.intervals {
		starts = append(starts, i.start)
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	d := division{c, map[part]uint8{}, map[uint8]int32{}}
	for i, start := range starts {
		whole := c.next.portClasses[start]
		class := d.classOf(part{whole, t.recipe(start)})
		if class != whole {
			end := int32(points)
			if i+1 < len(starts) {
				end = starts[i+1]
			}
			c.setPortClass(start, end, class)
		}
	}
	c.keepPortStarts(starts)
	return d.says
}

// division of port classes by what one table says.
type division struct {
	c     *compiler
	parts map[part]uint8
	says  map[uint8]int32 // of each class: the recipe
}

// part of a port class on which a table says one thing.
type part struct {
	whole  uint8
	recipe int32
}

// classOf lets the first part keep the class, and makes one for each other, as
// long as there are numbers.
func (d *division) classOf(p part) uint8 {
	class, known := d.parts[p]
	if known {
		return class
	}
	class = p.whole
	columns := &d.c.next.columns
	if _, divided := d.says[class]; !divided {
		d.says[class] = p.recipe
	} else if len(*columns) >= d.c.portClassLimit {
		d.says[class] = mixed
	} else {
		class = uint8(len(*columns))
		*columns = append(*columns, slices.Clone((*columns)[p.whole]))
		d.says[class] = p.recipe
	}
	d.parts[p] = class
	return class
}

func (c *compiler) setPortClass(from, to int32, class uint8) {
	all := c.ownPortClasses()
	for i := from; i < to; i++ {
		all[i] = class
	}
}

// keepPortStarts keeps those of the points at which another port class begins.
func (c *compiler) keepPortStarts(starts []int32) {
	c.portStarts = slices.CompactFunc(starts, func(a, b int32) bool { return c.next.portClasses[a] == c.next.portClasses[b] })
}

// mergePortClasses makes one of those that profiles no longer tell apart. A
// profile that is mixed on a class stays so until it is made anew.
func (c *compiler) mergePortClasses() {
	c.portsToMerge = false
	byColumn, merged := map[string]uint8{}, make([]uint8, len(c.next.columns))
	var columns [][]uint16
	for class, column := range c.next.columns {
		key, err := binary.Append(nil, binary.LittleEndian, column)
		if err != nil {
			panic(err) // numbers can always be written
		}
		first, known := byColumn[string(key)]
		if !known {
			first = uint8(len(columns))
			byColumn[string(key)] = first
			columns = append(columns, column)
		}
		merged[class] = first
	}
	c.next.columns = columns
	all := c.ownPortClasses()
	for i := range all {
		all[i] = merged[all[i]]
	}
	c.keepPortStarts(c.portStarts)
}

// ownPortClasses are those of points, private to the snapshot in the making.
func (c *compiler) ownPortClasses() *[points]uint8 {
	if !c.owns.portClasses {
		all := *c.next.portClasses
		c.next.portClasses, c.owns.portClasses = &all, true
	}
	return c.next.portClasses
}

// ownColumns makes the columns private to the snapshot in the making, with room
// for the profile.
func (c *compiler) ownColumns(profile int) {
	shared := !c.owns.columns
	if shared {
		c.next.columns, c.owns.columns = slices.Clone(c.next.columns), true
	}
	for class, column := range c.next.columns {
		if shared {
			column = slices.Clone(column)
		}
		if n := profile + 1 - len(column); n > 0 {
			column = append(column, make([]uint16, n)...)
		}
		c.next.columns[class] = column
	}
}
