// Package verdict predicts. Given namespaces, pods and policies, it says whether
// a connection is allowed, and by which rule, or denied, and by which policy. It
// reads NetworkPolicy v1 and ClusterNetworkPolicy v1alpha2 and v1beta1. It opens
// no socket.
//
//	egress of the source ──┐                             each side: Admin ──► NetworkPolicy ──► Baseline ──► Allow
//	                       ├──► Deny if either denies, else Unknown if either is, else Allow
//	ingress of the target ─┘
//
// An Engine compiles a world and keeps it compiled while it changes; a Snapshot
// is one state of it, immutable, that any number of goroutines may ask. Decide
// takes nanoseconds and says what; Judge takes microseconds and says why.
//
//	policies ──► profile of a class of pods ──► recipe of a port ──► row: two bits for each class of peers
//
// A guess is never an answer: what the specifications leave to implementations,
// what the input does not say, and what kinds of policies that are not
// understood may do, is Unknown with the reason, wherever it could matter.
package verdict
