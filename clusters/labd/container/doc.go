// Package container starts. A container is a process with private mount, process,
// host name and IPC namespaces in its pod's network namespace. The runtime clones
// `labd container-init` into fresh namespaces; that builds a minimal root on a
// tmpfs, and then becomes the container's own program: no process stays behind.
//
//	runtime ──Spec──► container-init ──► tmpfs root, volumes, /proc, /dev ──► exec
//	        ◄─error or end of file──┘ (closed by exec)
//
// The package imports next to nothing, so that it may take over before the rest
// of the binary is initialised; see takeOver.
package container
