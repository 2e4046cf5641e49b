package verdict

import "fmt"

// truth is a three-valued answer. The zero truth is maybe.
type truth uint8

const (
	maybe truth = iota
	no
	yes
)

// and is no if one is, yes if both are.
func (a truth) and(b truth) truth {
	switch {
	case a == no || b == no:
		return no
	case a == yes && b == yes:
		return yes
	}
	return maybe
}

// or is yes if one is, no if both are.
func (a truth) or(b truth) truth {
	switch {
	case a == yes || b == yes:
		return yes
	case a == no && b == no:
		return no
	}
	return maybe
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

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

func known(b bool) answer { return answer{is: truthOf(b)} }

// either is yes if one is, no if both are; of two doubts it keeps the first.
func either(a, b answer) answer {
	switch {
	case a.is == yes || b.is == no:
		return a
	case b.is == yes || a.is == no:
		return b
	}
	return a
}

// both is no if one is, yes if both are; of two doubts it keeps the first.
func both(a, b answer) answer {
	switch {
	case a.is == no || b.is == yes:
		return a
	case b.is == no || a.is == yes:
		return b
	}
	return a
}
