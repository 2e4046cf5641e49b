package supervisor

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that the warden hands to process 1, and process 1 to the supervisor.
const (
	fdListener = 3
	fdProgress = 4
	fdInside   = 5
	fdLifeline = 6 // process 1 keeps it
)

// Init is `labd init`: process 1 of the lab's namespaces. It builds the root
// file system, starts the supervisor and reaps orphans. When the supervisor or
// the warden ends, it ends, and the kernel ends everything else with it.
func Init(args []string) int {
	runtime.LockOSThread() // the supervisor dies with this thread
	closeOnExec(fdListener, fdProgress, fdInside, fdLifeline)
	progress := os.NewFile(fdProgress, "progress")
	report := newReporter(progress)
	cfg, err := decodeConfig(args)
	if err == nil {
		err = isolate(cfg)
	}
	if err != nil {
		report.fail("namespaces", err)
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(fdLifeline, "lifeline"))
		os.Exit(1) // the warden died
	}()
	supervisor, err := os.StartProcess("/proc/self/exe", []string{"labd", "supervise", cfg.encode()}, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(fdListener, "listener"), progress, os.NewFile(fdInside, "inside")},
		Sys:   &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		report.fail("", fmt.Errorf("start the supervisor: %w", err))
		return 1
	}
	progress.Close()
	return reap(supervisor.Pid)
}

// closeOnExec keeps inherited descriptors from being inherited further: no pod
// may hold the lab's listener.
func closeOnExec(fds ...int) {
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
}

// reap waits for every orphan of the namespace, and returns the exit code of the
// process it is told about.
func reap(pid int) int {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 1 // no child left
		case got == pid && status.Exited():
			return status.ExitStatus()
		case got == pid:
			return 1
		}
	}
}

// isolate turns fresh namespaces into the lab's machine.
func isolate(cfg Config) error {
	if err := unix.Sethostname([]byte("lab-" + cfg.Name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := buildRoot(cfg); err != nil {
		return err
	}
	return tryNetwork()
}
