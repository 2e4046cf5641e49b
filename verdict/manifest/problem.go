package manifest

import (
	"fmt"
	"strings"
)

// maxProblems are shown at most; input with more is not read any better for it.
const maxProblems = 20

// Problem is one thing that is wrong with the input.
type Problem struct {
	Position
	Object  string // as "NetworkPolicy ai/gateway"; empty where no object is to blame
	Message string // which field, what is wrong, and what to do
}

// String is one line: position, object and message.
func (p Problem) String() string {
	parts := []string{}
	for _, part := range []string{p.Position.String(), p.Object, p.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Error is the error of input that cannot be judged: one line per problem,
// never empty, in the order of the input. A command exits with 4 for it.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := []string{}
	for _, p := range e.Problems[:min(len(e.Problems), maxProblems)] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}
