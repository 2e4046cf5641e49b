// Package lab hosts. It starts, finds and ends embedded clusters: it is the near
// side of the labd binary, and of hyperkube beside it, which holds the control plane,
// the nodes and the data plane. A lab is owned by whoever brought it up and dies
// with that process, however the process dies, until it is detached.
//
//	Up ──► Lab ──► Detach ──► Find, List ──► Down
//	        └──► Down, or the owner's death
//
// A lab's only trace outside its own namespaces is one directory, which its
// warden removes; Sweep removes those whose warden was killed.
package lab
