// Package pods places probe pods: it makes them with what they are to try, checks
// that they stay as they were made, follows what they say, and removes them.
//
// A probe pod lives in a namespace of other people, who may change it, replace it
// or write its log. So what it says counts only while it is, field by field, the
// pod that the API server returned when it was made. It is judged by policies like
// the workload that it stands for, and noticed by nothing else (docs/protocol.md §4).
//
//	Spec ──► Placer ──► the pod and the ConfigMap that owns it
//	                         │ its log, through the API server
//	                        Set ──► a probes.Ledger for each pod
package pods
