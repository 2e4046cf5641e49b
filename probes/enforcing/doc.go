// Package enforcing measures whether a cluster enforces NetworkPolicy, on which
// nodes, in which direction and how fast, on pods of its own in a namespace of its
// own. Nothing else in the cluster is touched.
//
//	       ingress of node n                     egress of node n
//	asker ───────────────► twin on n     agent on n ───────────────► open twin
//
// Each node has a twin, which a policy denies ingress, and an agent, which another
// one denies egress. A node enforces a direction if its pair flips: reached without
// the policy, denied with it, reached again.
package enforcing
