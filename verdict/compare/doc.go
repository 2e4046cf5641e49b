// Package compare compares two policy sets: which connections change verdict
// between them, grouped by workload, with the rule that decides on each side.
// It judges one pair of each pair of classes and counts the rest, and looks only
// at ends that a changed policy, label or namespace touches.
//
//	before ─┐
//	        ├─► Diff ──► opened │ closed │ became unknown │ became known
//	after  ─┘
package compare
