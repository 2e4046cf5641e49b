// Package controlplane runs Kubernetes: etcd, the API server, the controller
// manager, the scheduler and CoreDNS, each as the only component of its process,
// with the flags that suit a lab. It makes the lab's certificates and knows when
// the control plane is ready. It starts no process; the supervisor does.
package controlplane
