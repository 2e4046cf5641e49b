package literal

import (
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/literal/random"
)

// FuzzEngine lets the fuzzer choose a world, changes and connections, byte by
// byte: the engine must not panic, nor say what the specification does not.
func FuzzEngine(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(chosen(seed, 1200))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 4096 {
			return // a world that large is slow and finds nothing new
		}
		if c, why := new(tally).play(random.Bytes(choices), 6, 2, 2); why != "" {
			c = minimise(c)
			t.Fatalf("%s\n%s", why, written(t, c))
		}
	})
}

// chosen are as many choices as the seed's dice make, for the fuzzer to begin with.
func chosen(seed uint64, n int) []byte {
	d, b := random.Seed(seed), make([]byte, n)
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
	return b
}
