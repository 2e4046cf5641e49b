// Package nstest isolates. It runs a package's tests again in namespaces of their
// own, as the lab runs: one mapped user, its own network, mounts and processes.
// Tests so need no root, and leave nothing behind.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	inside = "TIGHTROPE_TEST_INSIDE"
	built  = "TIGHTROPE_TEST_PROGRAM"
	skip   = "TIGHTROPE_SKIP_LAB" // set to 1: skip where namespaces are forbidden, rather than fail
)

// Main is a package's TestMain. It does not return.
func Main(m *testing.M) { os.Exit(run(m, "")) }

// MainWith is Main for tests that run a program, which it builds once from the folder
// of its package, outside of the namespaces; see Program.
func MainWith(m *testing.M, folder string) { os.Exit(run(m, folder)) }

// Program is the static program that MainWith has built.
func Program(t testing.TB) string {
	t.Helper()
	path := os.Getenv(built)
	if path == "" {
		t.Fatal("no program was built: the package's TestMain does not call nstest.MainWith")
	}
	return path
}

func run(m *testing.M, folder string) int {
	if os.Getenv(inside) != "" {
		return within(m)
	}
	program := ""
	if folder != "" {
		dir, err := os.MkdirTemp("", "nstest-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "a folder for the program of these tests:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "program")
		if err := build(folder, program); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return isolated(program)
}

// build compiles a program that needs nothing but itself.
func build(folder, program string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s, which these tests run: %w\n%s", folder, err, said)
	}
	return nil
}

// isolated runs the tests in namespaces of their own and returns their exit code.
func isolated(program string) int {
	runtime.LockOSThread() // Pdeathsig is about this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1", built+"="+program)
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
		return 0
	case errors.As(err, &exit) && !exit.Exited():
		fmt.Fprintln(os.Stderr, "the tests were ended by a signal:", err)
		return 1
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintf(os.Stderr, "these tests need user namespaces, which this machine forbids: %v; allow them, or set %s=1 to skip\n", err, skip)
	if os.Getenv(skip) == "1" {
		return 0
	}
	return 1
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
