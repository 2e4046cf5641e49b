//go:build race

package operator

// recordings of each scenario that are judged again. The race detector makes each
// take half a minute, so it sees one of each; hack/test.sh has all judged without it.
const recordings = 1
