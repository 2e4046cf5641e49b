// Package explain tells why one connection is allowed or denied, to a person
// who does not know NetworkPolicy: the answer first, then what lets it out of
// its source and what lets it into its target, with the lines of the rule that
// decides or of the one that comes nearest, and the rule to add for a denial.
//
//	names ──► Question ──► Explain ──► Answer ──► text, JSON
//
// It is pure. What it suggests it has judged first: with the suggestion added,
// the connection is allowed.
package explain
