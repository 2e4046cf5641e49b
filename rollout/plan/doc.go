// Package plan records. A Plan is all that a run will do, fixed before it changes
// anything: what is decided, and under which names it is done. It is plain data with a
// codec and a digest, so that whoever takes a change back needs nothing else.
//
//	Plan ── Digest ──► what is decided: equal for equal rollouts on equal policies
//	     └─ Encode ──► the stored text, names and all; DigestOfText arms it
package plan
