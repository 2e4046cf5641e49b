// Package literal reads the specifications of NetworkPolicy v1 and
// ClusterNetworkPolicy v1alpha2 clause by clause, slowly and obviously, so that
// a person can hold it against their text. It is the oracle of tests: the engine
// of package verdict, with which it shares the words and no logic, is held
// against it. It holds no state and prepares nothing.
//
//	egress of the source ──┐                             each side: Admin ──► NetworkPolicy ──► Baseline ──► Allow
//	                       ├──► Deny if either denies, else Unknown if either is, else Allow
//	ingress of the target ─┘
//
// A guess is never an answer: what a specification leaves to implementations,
// and what the input does not say, is decided in every way that it may be, and
// is Unknown with the reason where they differ.
package literal
