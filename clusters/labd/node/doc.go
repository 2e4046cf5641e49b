// Package node hosts. It is one node of the lab: Kubernetes' own kubelet, with its
// own probes, volumes, restarts and status, over a container runtime in the same
// process, and the data plane beside it. The process's network namespace is the
// node's; when the process ends, its pods end with it.
//
//	API server ◄─► kubelet ─► cri ─► container, podnet
//	           ◄─► dataplane ◄─┘ AddPod: policies first, packets after
package node
