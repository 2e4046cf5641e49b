//go:build !race

package literal

// enough verdicts by default.
const enough = 300_000
