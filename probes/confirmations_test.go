package probes

import (
	"math"
	"testing"
)

func TestConfirmations(t *testing.T) {
	const hundredAt10Hz = 100 * 10 * 3600
	for _, tt := range []struct {
		name                  string
		rate, budget, perHour float64
		want                  int
	}{
		{"the check value of the protocol", 0.02, 4e-6, hundredAt10Hz, 7},
		{"no measured loss counts as one in a thousand", 0, 4e-6, hundredAt10Hz, 4},
		{"a loss below the floor counts as the floor", 1e-9, 4e-6, hundredAt10Hz, 4},
		{"a loss that is no number counts as the floor", math.NaN(), 4e-6, hundredAt10Hz, 4},
		{"nobody probes: the least", 0.02, 4e-6, 0, 3},
		{"a budget of nothing takes the most", 0.02, 0, hundredAt10Hz, 20},
		{"a path that always fails takes the most", 1, 4e-6, hundredAt10Hz, 20},
		{"half of all attempts lost takes the most", 0.5, 4e-6, hundredAt10Hz, 20},
		{"a generous budget still takes three", 0.02, 1e9, hundredAt10Hz, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Confirmations(tt.rate, tt.budget, tt.perHour); got != tt.want {
				t.Errorf("Confirmations(%v, %v, %v) = %d, want %d", tt.rate, tt.budget, tt.perHour, got, tt.want)
			}
		})
	}
}

// More loss, more attempts or a tighter budget never asks for fewer.
func TestConfirmationsAreMonotonic(t *testing.T) {
	last := 0
	for rate := 0.0; rate <= 1; rate += 0.001 {
		n := Confirmations(rate, 1e-6, 1e6)
		if n < last && rate < 0.5 {
			t.Fatalf("at a failure rate of %v %d suffice, at less it took %d", rate, n, last)
		}
		last = n
	}
	if Confirmations(0.02, 1e-6, 1e9) < Confirmations(0.02, 1e-6, 1e3) || Confirmations(0.02, 1e-12, 1e6) < Confirmations(0.02, 1e-3, 1e6) {
		t.Error("more attempts or a tighter budget ask for fewer confirmations")
	}
}
