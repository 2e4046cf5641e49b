//go:build !race

package operator

// recordings of each scenario that are judged again: all.
const recordings = 1000
