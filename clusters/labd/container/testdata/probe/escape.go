package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// escape tries what would change the machine, and says what became of it. The file
// is one of the machine, shown read-only below a mount of its folder.
func escape(file string) {
	remount(file)
	said("unmount", syscall.Unmount(filepath.Dir(file), 0))
	said("mount", syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	said("unshare mounts", syscall.Unshare(syscall.CLONE_NEWNS))
	said("set host name", syscall.Sethostname([]byte("evil")))
	said("change a device", os.Chmod("/dev/null", 0o666))
	if theirs, _ := os.ReadDir("/etc/ssl/certs"); len(theirs) > 0 { // else the folder is our own
		said("make a certificate", os.WriteFile("/etc/ssl/certs/evil", nil, 0o600))
	}
	f, err := os.OpenFile("/proc/sys/kernel/core_pattern", os.O_WRONLY, 0) // nothing is written
	said("open a setting of the kernel", err)
	f.Close()
	inside := exec.Command("/proc/self/exe", "remount", file)
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}}
	out, err := inside.CombinedOutput()
	fmt.Printf("in a user namespace (%v):\n%sinside: done\n", err, out)
}

func remount(file string) {
	said("remount", syscall.Mount("", filepath.Dir(file), "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
	said("write", os.WriteFile(file, []byte("evil"), 0o600))
}

func said(what string, err error) { fmt.Printf("%s: %v\n", what, err) }
