// Package podnet connects. It gives every pod of a node a network namespace, an
// address of each family out of the node's ranges, and a routed veth pair with no bridge between,
// so that every packet of a pod passes the node's forward hook.
//
//	pod: eth0 10.244.1.7/32 ─veth─ node: route 10.244.1.7/32 dev pod…
//	     default via 169.254.1.1        (a permanent neighbour entry stands for it)
//	          fd00:10:244:1::7/128      route fd00:10:244:1::7 dev pod…
//	     default via fe80::1
//
// What the kernel bounds and nobody may raise in a user namespace does not bind
// here: neighbour entries of pods are permanent and do not count, and tracked
// connections are counted per node.
package podnet
