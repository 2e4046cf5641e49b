package strict

import (
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
		if got := DidYouMean(tt.got, tt.names); got != tt.want {
			t.Errorf("DidYouMean(%.20q, %v) = %q, want %q", tt.got, tt.names, got, tt.want)
		}
	}
}
