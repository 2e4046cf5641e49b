package mounts

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"
)

// Mounter implements mount.Interface. What it reads from the kernel's tables is
// mount-utils' own code; make one with New.
type Mounter struct {
	mount.Interface
}

// New returns a Mounter that works in the calling process's mount namespace.
func New() *Mounter { return &Mounter{Interface: mount.NewWithoutSystemd("")} }

// flag is what one mount option does: it sets, or clears, a bit.
type flag struct {
	bit   uintptr
	clear bool
}

// flags are the options of mount(8) that are not for the file system itself.
var flags = map[string]flag{
	"bind": {bit: unix.MS_BIND}, "rbind": {bit: unix.MS_BIND | unix.MS_REC}, "remount": {bit: unix.MS_REMOUNT},
	"ro": {bit: unix.MS_RDONLY}, "rw": {bit: unix.MS_RDONLY, clear: true},
	"noexec": {bit: unix.MS_NOEXEC}, "exec": {bit: unix.MS_NOEXEC, clear: true},
	"nodev": {bit: unix.MS_NODEV}, "dev": {bit: unix.MS_NODEV, clear: true},
	"nosuid": {bit: unix.MS_NOSUID}, "suid": {bit: unix.MS_NOSUID, clear: true},
	"noatime": {bit: unix.MS_NOATIME}, "relatime": {bit: unix.MS_RELATIME}, "sync": {bit: unix.MS_SYNCHRONOUS},
	"private": {bit: unix.MS_PRIVATE}, "rprivate": {bit: unix.MS_PRIVATE | unix.MS_REC},
	"shared": {bit: unix.MS_SHARED}, "rshared": {bit: unix.MS_SHARED | unix.MS_REC},
	"defaults": {}, "_netdev": {}, "auto": {}, "noauto": {}, "nofail": {},
}

// parse splits mount options into the system call's flags and the file system's data.
func parse(options []string) (bits uintptr, data string) {
	var rest []string
	for _, o := range options {
		f, known := flags[o]
		switch {
		case !known && o != "":
			rest = append(rest, o)
		case f.clear:
			bits &^= f.bit
		default:
			bits |= f.bit
		}
	}
	return bits, strings.Join(rest, ",")
}

// Mount mounts source on target. Options are mount(8)'s.
func (m *Mounter) Mount(source, target, fstype string, options []string) error {
	return m.MountSensitive(source, target, fstype, options, nil)
}

// MountSensitive is Mount; the sensitive options never appear in its error.
func (m *Mounter) MountSensitive(source, target, fstype string, options, sensitive []string) error {
	bits, data := parse(append(append([]string{}, options...), sensitive...))
	err := unix.Mount(source, target, fstype, bits, data)
	if err == nil && bits&unix.MS_BIND != 0 && bits&unix.MS_REMOUNT == 0 && bits&^(unix.MS_BIND|unix.MS_REC) != 0 {
		// A bind mount takes its other flags in a second call only.
		err = unix.Mount("", target, "", bits&^unix.MS_REC|unix.MS_REMOUNT, "")
	}
	if err != nil {
		return fmt.Errorf("mount %s (%s) on %s with %v: %w", source, fstype, target, options, err)
	}
	return nil
}

// MountSensitiveWithoutSystemd is MountSensitive: there is no systemd here.
func (m *Mounter) MountSensitiveWithoutSystemd(source, target, fstype string, options, sensitive []string) error {
	return m.MountSensitive(source, target, fstype, options, sensitive)
}

// MountSensitiveWithoutSystemdWithMountFlags refuses flags: they are a program's.
func (m *Mounter) MountSensitiveWithoutSystemdWithMountFlags(source, target, fstype string, options, sensitive, programFlags []string) error {
	for _, f := range programFlags {
		if f != "--no-canonicalize" { // the system call never canonicalises
			return fmt.Errorf("mount %s on %s: flag %s of the mount program is not supported by the lab", source, target, f)
		}
	}
	return m.MountSensitive(source, target, fstype, options, sensitive)
}

// Unmount unmounts target. Something that is not a mount is fine.
func (m *Mounter) Unmount(target string) error {
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", target, err)
}

// UnmountWithForce detaches a mount that is still in use.
func (m *Mounter) UnmountWithForce(target string, _ time.Duration) error {
	err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", target, err)
}

// CanSafelySkipMountPointCheck is true: see Unmount.
func (m *Mounter) CanSafelySkipMountPointCheck() bool { return true }
