//go:build race

package literal

// enough verdicts by default: the race detector makes each ten times as slow.
const enough = 30_000
