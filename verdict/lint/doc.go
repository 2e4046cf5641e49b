// Package lint warns. Given the policies, pods and Services of a cluster or of a
// directory of manifests, Check lists the mistakes that people make with
// NetworkPolicies, each with the object, the line of the very field, why it is
// one, and the policy's YAML with the mistake corrected.
//
//	manifest.Set ──► view ──► one function per mistake ──► findings, in the order of the files
//	                  └─ questions about connections go to a verdict.Snapshot
//
// A finding is never a guess: what the input does not show (the cluster's DNS,
// an address, a label of a namespace that is not there) is assumed only where
// the finding says so, and never makes an Error on its own where a common
// cluster would prove it wrong. Rules lists the mistakes with their sources.
//
// Correct makes whole documents of the corrections, to be shown; Rewrites puts
// them into their files, where nothing else changes: it reads what it is about to
// give back, and gives nothing back that does not hold the same documents.
package lint
