// Package nstest isolates. It runs a package's tests again in namespaces of their
// own, as the lab runs: one mapped user, its own network, mounts and processes.
// Tests so need no root, and leave nothing behind.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	inside = "TIGHTROPE_TEST_INSIDE"
	skip   = "TIGHTROPE_SKIP_LAB" // set to 1: skip where namespaces are forbidden, rather than fail
)

// Main is a package's TestMain. It does not return.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(within(m))
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	}
	fmt.Fprintf(os.Stderr, "these tests need user namespaces, which this machine forbids: %v; allow them, or set %s=1 to skip\n", err, skip)
	if os.Getenv(skip) == "1" {
		os.Exit(0)
	}
	os.Exit(1)
}

func within(m *testing.M) int {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintln(os.Stderr, "make mounts private:", err)
		return 1
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		fmt.Fprintln(os.Stderr, "mount /proc:", err)
		return 1
	}
	return m.Run()
}
