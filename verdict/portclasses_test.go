package verdict

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// What columns say of a point is what the profile's table says, in each snapshot
// and in the one before it.
func TestColumnsSayWhatTablesSay(t *testing.T) {
	for _, limit := range []int{1, 3, maxPortClasses} {
		r := rand.New(rand.NewPCG(1, uint64(limit)))
		c := newCompiler()
		c.portClassLimit = limit
		tables := map[int32]*table{0: tableOf(everything)}
		everMixed := false
		for range 30 {
			before, tablesBefore := c.next, maps.Clone(tables)
			c.begin(before)
			c.portsToMerge = r.IntN(2) == 0
			for range 1 + r.IntN(3) {
				id := 1 + r.Int32N(9)
				tables[id] = randomTable(r)
				c.putTable(id, tables[id])
			}
			everMixed = says(t, before, tablesBefore) || says(t, c.next, tables) || everMixed
			if len(c.next.columns) > limit {
				t.Fatalf("limit %d: %d port classes", limit, len(c.next.columns))
			}
		}
		if everMixed != (limit < maxPortClasses) {
			t.Errorf("limit %d: a column was mixed is %t", limit, everMixed)
		}
	}
}

// says holds the columns against the tables wherever any of them changes and at
// some points between, and reports whether any column is mixed.
func says(t *testing.T, s *Snapshot, tables map[int32]*table) (isMixed bool) {
	t.Helper()
	var asked []int32
	for point := int32(0); point < points; point += 997 {
		asked = append(asked, point)
	}
	for _, table := range tables {
		for _, i := range table.intervals {
			asked = append(asked, max(0, i.start-1), i.start, min(points-1, i.start+1))
		}
	}
	for id, table := range tables {
		for _, point := range asked {
			got := saysOf(s, id, point)
			isMixed = isMixed || got == mixed
			if want := table.recipe(point); got != want && got != mixed {
				t.Fatalf("profile %d, point %d: the column says %d, the table %d", id, point, got, want)
			}
		}
	}
	return isMixed
}

func saysOf(s *Snapshot, profile, point int32) int32 {
	column := s.columns[s.portClasses[point]]
	if int(profile) >= len(column) {
		return nothing
	}
	return int32(column[profile])
}

func randomTable(r *rand.Rand) *table {
	t := &table{intervals: []interval{{0, 3 + r.Int32N(5)}}}
	for at := int32(0); r.IntN(4) > 0; {
		if at += 1 + []int32{0, 10, 9000, 70000}[r.IntN(4)]; at >= points {
			break
		}
		t.intervals = append(t.intervals, interval{at, 3 + r.Int32N(5)})
	}
	return t
}

// Ports that no profile tells apart any more are one port class again, as soon
// as numbers are needed.
func TestPortClassesAreMergedBeforeTheirNumbersRunOut(t *testing.T) {
	c := newCompiler()
	for i := range int32(2000) {
		c.putTable(1, &table{intervals: []interval{{0, nothing}, {i*90 + 1, everything}, {i*90 + 2, nothing}}})
		if got := saysOf(c.next, 1, i*90+1); got != everything {
			t.Fatalf("table %d: the port says %d", i, got)
		}
		c.putTable(1, tableOf(nothing))
		c.portsToMerge = true
	}
	if n := len(c.portStarts); n > 2*maxPortClasses {
		t.Errorf("%d places at which port classes begin are kept", n)
	}
}

// A recipe of a number that a column has no room for is found in the table.
func TestARecipeOfALargeNumberIsFoundInTheTable(t *testing.T) {
	c := newCompiler()
	for _, recipe := range []int32{65535, 65536} {
		c.putTable(1, tableOf(recipe))
		want := recipe
		if recipe > 65535 {
			want = mixed
		}
		if got := saysOf(c.next, 1, 80); got != want {
			t.Errorf("recipe %d: the column says %d, want %d", recipe, got, want)
		}
	}
}
