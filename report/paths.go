package report

import (
	"fmt"
	"slices"
)

// path is what people count: one source, target and expectation, with a row for
// each way it was tried.
type path struct {
	Path         // of its first row
	rows []int   // indexes into Report.Paths
	seen Finding // the worst of its rows
}

// pathsOf groups the rows of a report, in the order of the first row of each.
func pathsOf(r *Report) []path {
	type key struct {
		name, protocol, expect string
		from                   Workload
		to                     Service
		port                   int32
	}
	var all []path
	at := map[key]int{}
	for i, row := range r.Paths {
		k := key{row.Name, row.Protocol, row.Expect, row.From, row.To, row.Port}
		j, ok := at[k]
		if !ok {
			j = len(all)
			at[k] = j
			all = append(all, path{Path: row, seen: Holds})
		}
		all[j].rows = append(all[j].rows, i)
		all[j].seen = worse(all[j].seen, row.Finding)
	}
	return all
}

func holding(paths []path) (n int) {
	for _, p := range paths {
		if p.seen == Holds {
			n++
		}
	}
	return n
}

// ways lists the values of via, in order of appearance, at most eight.
func ways(r *Report) []string {
	var all []string
	for _, row := range r.Paths {
		if len(all) < 8 && !slices.Contains(all, row.Via) {
			all = append(all, row.Via)
		}
	}
	return all
}

func (w Workload) String() string { return named(w.Namespace, w.Identity) }
func (s Service) String() string  { return named(s.Namespace, s.Name) }

// named joins namespace and name; both come sanitized and bounded.
func named(namespace, name string) string {
	name = shorten(Sanitize(name), 80)
	if namespace == "" {
		return name
	}
	return shorten(Sanitize(namespace), 80) + "/" + name
}

// portOf writes 4000/TCP.
func portOf(p Path) string { return fmt.Sprintf("%d/%s", p.Port, shorten(Sanitize(p.Protocol), 12)) }

// arrow names a path shortly, by identity and target: "llm-gateway → kube-dns:53/UDP".
func arrow(p Path) string {
	return named("", p.From.Identity) + " → " + named("", p.To.Name) + ":" + portOf(p)
}

// index finds the row that a cut or leak speaks of, and the other way round,
// by name and way. One without via speaks of all rows of its path. A report may
// have many of both, and come from anyone: no look-up walks a list.
type index struct {
	rows        map[[2]string]Path
	cuts, leaks map[[2]string]Cut
}

func indexOf(r *Report) index {
	x := index{map[[2]string]Path{}, map[[2]string]Cut{}, map[[2]string]Cut{}}
	for _, row := range r.Paths {
		first(x.rows, row.Name, row.Via, row)
		first(x.rows, row.Name, "", row)
	}
	for _, c := range r.Cuts {
		first(x.cuts, c.Path, c.Via, c)
	}
	for _, c := range r.Leaks {
		first(x.leaks, c.Path, c.Via, c)
	}
	return x
}

func first[T any](m map[[2]string]T, name, via string, value T) {
	if _, had := m[[2]string{name, via}]; !had {
		m[[2]string{name, via}] = value
	}
}

// row is the one that c speaks of; without via, the path's first.
func (x index) row(c Cut) (Path, bool) {
	row, ok := x.rows[[2]string{c.Path, c.Via}]
	return row, ok
}

// event is the first cut, or for a leak the first leak, of a row.
func (x index) event(row Path) (Cut, bool) {
	events := x.cuts
	if row.Finding == Leak {
		events = x.leaks
	}
	if c, ok := events[[2]string{row.Name, row.Via}]; ok {
		return c, true
	}
	c, ok := events[[2]string{row.Name, ""}]
	return c, ok
}

// eventName names the path of a cut or leak as people know it, or by its name
// where no row of the report has it.
func (x index) eventName(c Cut) string {
	if row, ok := x.row(c); ok {
		return arrow(row)
	}
	return shorten(Sanitize(c.Path), 80)
}
