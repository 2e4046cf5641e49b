// Package mounts mounts. It is the kubelet's mounter by system call: the kubelet's
// own runs the programs mount and umount, which the lab does not have.
package mounts
