// Package warden keeps the lab alive and ends it without a trace. Outside the
// namespaces it is the warden, which owns the lab's one directory and its
// listener; inside them it is process 1, which starts the supervisor.
//
//	owner ══lifeline══► labd up ══lifeline══► labd init ──► hyperkube supervise ──► etcd, apiserver,
//	                    (warden)               (process 1)                           managers, nodes
//	                        └── TCP listener, inherited ──────────► relay to the API server
//
// A lifeline is a pipe: whoever holds the reading end learns of the writer's
// death, however it died. Process 1 takes every process and namespace with it,
// and all state is on a tmpfs of its mount namespace, so that nothing needs to
// be cleaned up by name.
//
// Nothing here needs Kubernetes: a program that has it in it takes a tenth of a
// second of processor time before its first line, once for each process.
package warden
