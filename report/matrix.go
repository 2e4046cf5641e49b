package report

import (
	"cmp"
	"fmt"
	"slices"
)

// maxCells bounds the matrix: beyond it nobody reads a grid, and the list of
// paths says the same.
const maxCells = 6000

// matrix is who was tried against whom: a row for each source, a column for
// each target and port, and in each cell the worst finding of all ways.
type matrix struct {
	Targets []target
	Rows    []matrixRow
}

type target struct {
	Service
	Ports []string
}

type matrixRow struct {
	Workload
	Cells []cell // in the order of Targets and their Ports
}

// cell is empty (Paths is 0) where the suite has no such path.
type cell struct {
	Paths   int
	Finding Finding
	Expect  string // Allow, Deny, or both
	Row     int    // of its worst path, an index into Report.Paths
}

// matrixOf builds the matrix; ok is false where it would be too large to read.
// Workloads of a namespace stand together, and so do Services; else the order
// is that of the report, and ports go up.
func matrixOf(r *Report) (m matrix, ok bool) {
	paths := pathsOf(r)
	var sources []Workload
	var services []Service
	ports := map[Service][]Path{}
	row, column := map[Workload]int{}, map[string]int{}
	for _, p := range paths {
		if _, had := row[p.From]; !had {
			row[p.From] = 0
			sources = append(sources, p.From)
		}
		if ports[p.To] == nil {
			services = append(services, p.To)
		}
		if _, had := column[columnKey(p.Path)]; !had {
			column[columnKey(p.Path)] = 0
			ports[p.To] = append(ports[p.To], p.Path)
		}
	}
	together(sources, func(w Workload) string { return w.Namespace })
	together(services, func(s Service) string { return s.Namespace })
	width := 0
	for _, s := range services {
		slices.SortFunc(ports[s], func(a, b Path) int {
			return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
		})
		t := target{Service: s}
		for _, p := range ports[s] {
			t.Ports = append(t.Ports, portOf(p))
			column[columnKey(p)] = width
			width++
		}
		m.Targets = append(m.Targets, t)
	}
	if width*len(sources) > maxCells {
		return matrix{}, false
	}
	for i, w := range sources {
		row[w] = i
		m.Rows = append(m.Rows, matrixRow{w, make([]cell, width)})
	}
	for _, p := range paths {
		m.Rows[row[p.From]].Cells[column[columnKey(p.Path)]].add(r, p)
	}
	return m, len(m.Rows) > 0
}

func columnKey(p Path) string {
	return fmt.Sprintf("%q %q %d %q", p.To.Namespace, p.To.Name, p.Port, p.Protocol)
}

func (c *cell) add(r *Report, p path) {
	if c.Paths++; c.Paths == 1 {
		c.Expect, c.Finding, c.Row = p.Expect, Holds, p.rows[0]
	} else if c.Expect != p.Expect {
		c.Expect = "both"
	}
	for _, i := range p.rows {
		if f := r.Paths[i].Finding; f.severity() > c.Finding.severity() {
			c.Finding, c.Row = f.known(), i
		}
	}
}

// together sorts a list so that what has the same key stands together, keys in
// order of first appearance.
func together[T any](list []T, key func(T) string) {
	first := map[string]int{}
	for i, x := range list {
		if _, had := first[key(x)]; !had {
			first[key(x)] = i
		}
	}
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(first[key(a)], first[key(b)]) })
}

// Text is what a cell says: what is so where it holds, else the finding.
func (c cell) Text() string {
	switch {
	case c.Paths == 0:
		return ""
	case c.Finding.known() == Holds && c.Expect == "Allow":
		return "✓ allowed"
	case c.Finding.known() == Holds && c.Expect == "Deny":
		return "✓ denied"
	}
	return c.Finding.symbol() + " " + c.Finding.word()
}

// Tone colours a cell; an empty one has none.
func (c cell) Tone() tone {
	if c.Paths == 0 {
		return ""
	}
	return c.Finding.tone()
}

// Wrong says that a reader should look at the cell's paths.
func (c cell) Wrong() bool { return c.Paths > 0 && c.Finding.known() != Holds }
