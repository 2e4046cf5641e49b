package scenarios

import (
	"fmt"
	"strings"
	"testing"
)

func TestProblemsAreBounded(t *testing.T) {
	var all Problems
	for i := range 500 {
		all = append(all, Problem{File: "x.yaml", Line: i + 1, What: fmt.Sprint(i)})
	}
	lines := strings.Split(all.Error(), "\n")
	if len(lines) != maxProblems+1 || lines[maxProblems] != "and 480 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}
