// Package podnet connects. It gives every pod of a node a network namespace, an
// address out of the node's range, and a routed veth pair with no bridge between,
// so that every packet of a pod passes the node's forward hook.
//
//	pod: eth0 10.244.1.7/32 ─veth─ node: route 10.244.1.7/32 dev pod…
//	     default via 169.254.1.1        (a permanent neighbour entry stands for it)
package podnet
