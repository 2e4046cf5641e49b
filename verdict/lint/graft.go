package lint

import (
	"slices"
	"strings"
)

// maxMatched bounds the comparison of two texts: the product of their lines.
const maxMatched = 16 << 20

// graft carries the difference between two encodings of a document over to its
// text, which is written more freely: with empty lines, comments where they
// please, and other blanks. Lines that the edit does not touch stay as they are,
// byte for byte. Where it touches lines that the encoder writes otherwise, those
// become as the encoder writes them, and the comments between them stay.
// It is the merge of diff3 with the encoder's changes on one side and the edit's
// on the other. What comes out has to be read again: it is a proposal.
func graft(text, before, after []string) []string {
	mine, edited := match(before, text), match(before, after)
	var out []string
	i, j, k := 0, 0, 0
	upTo := func(nextI, nextJ, nextK int) {
		out = append(out, merge(text[i:nextI], before[j:nextJ], after[k:nextK])...)
		i, j, k = nextI, nextJ, nextK
	}
	for line := range before {
		switch {
		case mine[line] >= 0 && edited[line] >= 0:
			upTo(mine[line], line, edited[line])
			out = append(out, text[i])
			i, j, k = i+1, j+1, k+1
		case line == 0:
		case mine[line] >= 0 && edited[line-1] >= 0: // the encoder's change ends where the edit's begins
			upTo(mine[line], line, edited[line-1]+1)
		case edited[line] >= 0 && mine[line-1] >= 0: // and the other way round
			upTo(mine[line-1]+1, line, edited[line])
		}
	}
	upTo(len(text), len(before), len(after))
	return out
}

// merge decides about lines between two that all three have.
func merge(text, before, after []string) []string {
	switch {
	case alike(before, after):
		return text
	case alike(before, text):
		return after
	}
	var above, below []string
	seen := len(before) == 0 // nothing of the text stands here: its comments come after what is added
	for _, line := range text {
		switch bare := strings.TrimSpace(line); {
		case bare != "" && bare[0] != '#':
			seen = true
		case hasLine(before, bare) || hasLine(after, bare):
		case seen:
			below = append(below, line)
		default:
			above = append(above, line)
		}
	}
	return slices.Concat(above, after, below)
}

// hasLine reports whether a line of that text is there, however far it is indented.
func hasLine(lines []string, bare string) bool {
	return bare != "" && slices.ContainsFunc(lines, func(line string) bool { return strings.TrimSpace(line) == bare })
}

func alike(a, b []string) bool { return slices.Equal(bare(a), bare(b)) }

// bare are lines with their indentation, with one blank between words, and with
// none at the end: what an encoder changes of a line that it does not rewrite.
func bare(lines []string) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if all[i] = strings.Join(strings.Fields(line), " "); all[i] != "" {
			all[i] = line[:indent] + all[i]
		}
	}
	return all
}

// match pairs lines of a with equal ones of b in the same order, as many as there
// can be: the index in b for each of a, or -1. Texts that are too long for that
// are paired from both ends only.
func match(a, b []string) []int {
	a, b = bare(a), bare(b)
	pairs := make([]int, len(a))
	for i := range pairs {
		pairs[i] = -1
	}
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		pairs[head] = head
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
		pairs[len(a)-tail] = len(b) - tail
	}
	inner, other := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(inner)*len(other) > maxMatched {
		return pairs
	}
	longest := commonLengths(inner, other)
	for i, j := 0, 0; i < len(inner) && j < len(other); {
		switch {
		case inner[i] == other[j]:
			pairs[head+i] = head + j
			i, j = i+1, j+1
		case longest[i+1][j] >= longest[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}

// commonLengths is, for every pair of ends, how many lines these have in common
// in order.
func commonLengths(a, b []string) [][]int32 {
	all := make([][]int32, len(a)+1)
	for i := range all {
		all[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			all[i][j] = max(all[i+1][j], all[i][j+1])
			if a[i] == b[j] {
				all[i][j] = all[i+1][j+1] + 1
			}
		}
	}
	return all
}
