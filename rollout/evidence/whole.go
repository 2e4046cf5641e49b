package evidence

import (
	"errors"
	"fmt"
	"slices"
)

// errPart says that a look speaks of some rows only.
var errPart = errors.New("it rests on a look at some rows, and not at all of them")

// Misses says what a look does not speak of: rows that it does not name, or a probe pod
// of a row's source; nil: nothing. A row that is not there asks for no proof, and a pod
// that is not there cannot say that it was cut off, so no decision may rest on less than
// the controller judges by: every row, as each of the source's probe pods tries it, or
// why nobody does.
func (l *Look) Misses(rows []Row, access []Access) error {
	if !l.Whole {
		return errPart
	}
	by := make([][]string, len(rows))
	gone := make([]bool, len(rows))
	for _, c := range l.Checks {
		if c.Row >= 0 && c.Row < len(rows) {
			by[c.Row] = append(by[c.Row], c.Agent)
			gone[c.Row] = gone[c.Row] || c.Gone != ""
		}
	}
	for i, r := range rows {
		if len(by[i]) == 0 {
			return fmt.Errorf("it rests on a look that leaves out path %q by %s", r.Path, r.Via)
		}
		for _, pod := range r.triedBy(access) {
			if !gone[i] && !slices.Contains(by[i], pod) {
				return fmt.Errorf("it rests on a look that leaves out what probe pod %s saw of path %q by %s", pod, r.Path, r.Via)
			}
		}
	}
	return nil
}

// triedBy lists the probe pods of the row's source, namespace/name.
func (r Row) triedBy(access []Access) []string {
	var pods []string
	for _, a := range access {
		if a.Identity == r.From && a.Namespace == r.Namespace {
			for _, pod := range a.Pods {
				pods = append(pods, a.Namespace+"/"+pod)
			}
		}
	}
	return pods
}
