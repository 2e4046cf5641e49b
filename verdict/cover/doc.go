// Package cover covers a policy set with probes: which connections between pods
// have to be tried so that every rule, every denial, every pair of classes of
// pods and every pair of nodes is exercised at least once, and what a given
// suite leaves untried.
//
//	snapshot ──► Plan     ──► probes, and what no probe can exercise
//	snapshot, suite ──► Untested ──► rules, denials, class pairs, node pairs left, in percent
package cover
