// Package cri runs. It is the container runtime of a lab node, in the kubelet's own
// process: pods are network namespaces, containers are processes in them, images
// are names for static binaries. What it reports (states, exit codes, reasons,
// times, logs) is what the kernel said. What it cannot do it refuses by name.
//
//	RunPodSandbox: refuse? ─► namespace ─► address ─► policies in place ─► link up
//	StartContainer: thread in the namespace ─clone─► container-init ─exec─► program
package cri
