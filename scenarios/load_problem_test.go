package scenarios

import (
	"fmt"
	"strings"
	"testing"
)

func TestDistanceAndSuggestion(t *testing.T) {
	for _, tt := range []struct {
		got   string
		names []string
		want  string
	}{
		{"replcias", []string{"name", "replicas"}, "; did you mean replicas?"},
		{"Replicas", []string{"replicas"}, "; did you mean replicas?"},
		{"colour", []string{"name", "replicas"}, ""},
		{"xy", []string{"to"}, ""},
		{strings.Repeat("x", 10_000), []string{"name"}, ""},
	} {
		if got := didYouMean(tt.got, tt.names); got != tt.want {
			t.Errorf("didYouMean(%.20q, %v) = %q, want %q", tt.got, tt.names, got, tt.want)
		}
	}
}

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
