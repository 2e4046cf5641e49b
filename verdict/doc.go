// Package verdict predicts. Given namespaces, pods and NetworkPolicies, Judge
// says whether a connection is allowed, and by which rule, or denied, and by
// which policy. It reads the NetworkPolicy v1 specification clause by clause,
// slowly and obviously, so that a person can hold it against the text; a faster
// engine can then be held against it. It holds no state and opens no socket.
//
//	egress of the source ──┐
//	                       ├──► Deny if either denies, else Unknown if either is, else Allow
//	ingress of the target ─┘
//
// A guess is never an answer: what v1 leaves to implementations, and what the
// input does not say, is Unknown with the reason, wherever it could matter.
package verdict
