package strict

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Names of paths have arrows in them: they are counted in characters, as the API server does.
func TestHowManyPathsAndHowLongTheirNames(t *testing.T) {
	suite := func(n int, name string) v1alpha1.ConnectivitySuiteSpec {
		s := v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: "app", Namespace: "front", Labels: map[string]string{"app": "app"}}}}
		for i := range n {
			s.Paths = append(s.Paths, v1alpha1.Path{Name: fmt.Sprintf("%04d", i) + name, From: "app", Expect: v1alpha1.ExpectAllow,
				To: v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: "back", Name: "store", Port: 80}}})
		}
		return s
	}
	for _, tt := range []struct {
		n    int
		name string
		says string // empty: it may be so
	}{
		{1, strings.Repeat("→", 116), ""},
		{1, strings.Repeat("→", 117), "a path needs a name of at most 120 characters"},
		{MaxPaths, "", ""},
		{MaxPaths + 1, "", "has 2049 paths, and a suite at most 2048"},
	} {
		got := fmt.Sprint(CheckSuite("spec", suite(tt.n, tt.name)))
		if !strings.Contains(got, tt.says) || (tt.says == "") != (got == "[]") {
			t.Errorf("%d paths with %d more characters: %q, want %q", tt.n, len([]rune(tt.name)), got, tt.says)
		}
	}
}
