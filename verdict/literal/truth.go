package literal

import "fmt"

// truth is a three-valued answer. The zero truth is maybe.
type truth uint8

const (
	maybe truth = iota
	no
	yes
)

// answer is a truth, with the reason for a maybe.
type answer struct {
	is  truth
	why string
}

var (
	never  = answer{is: no}
	always = answer{is: yes}
)

func unsure(format string, args ...any) answer {
	return answer{is: maybe, why: fmt.Sprintf(format, args...)}
}

func known(b bool) answer {
	if b {
		return always
	}
	return never
}

// either is yes if one is, no if both are.
func either(a, b answer) answer {
	switch {
	case a.is == yes || b.is == no:
		return a
	case b.is == yes || a.is == no:
		return b
	}
	return a
}

// both is no if one is, yes if both are.
func both(a, b answer) answer {
	switch {
	case a.is == no || b.is == yes:
		return a
	case b.is == no || a.is == yes:
		return b
	}
	return a
}
