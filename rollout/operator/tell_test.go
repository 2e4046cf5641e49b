package operator

import (
	"testing"
	"unicode/utf8"
)

func TestClippingCutsNoCharacterInTwo(t *testing.T) {
	for n := range 20 {
		if got := clip("chat→gateway→model", n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("clip to %d: %q", n, got)
		}
	}
}
