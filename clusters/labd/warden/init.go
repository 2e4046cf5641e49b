package warden

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// Descriptors that the warden hands to process 1, and process 1 to the supervisor.
const (
	FDListener = 3
	FDProgress = 4
	FDInside   = 5
	fdLifeline = 6 // process 1 keeps it
)

// Init is `labd init`: process 1 of the lab's namespaces. It builds the root
// file system, starts the supervisor and reaps orphans. When the supervisor or
// the warden ends, it ends, and the kernel ends everything else with it.
func Init(args []string) int {
	runtime.LockOSThread() // the supervisor dies with this thread
	CloseOnExec(FDListener, FDProgress, FDInside, fdLifeline)
	progress := os.NewFile(FDProgress, "progress")
	report := NewReporter(progress)
	cfg, err := DecodeConfig(args)
	if err == nil {
		err = isolate(cfg)
	}
	if err != nil {
		report.Fail("namespaces", err)
		return 1
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(fdLifeline, "lifeline"))
		os.Exit(1) // the warden died
	}()
	supervisor, err := os.StartProcess(layout.Hyperkube, []string{"hyperkube", "supervise", cfg.encode()}, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(FDListener, "listener"), progress, os.NewFile(FDInside, "inside")},
		Sys:   &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		report.Fail("", fmt.Errorf("start the supervisor: %w", err))
		return 1
	}
	progress.Close()
	return reap(supervisor.Pid)
}

// CloseOnExec keeps inherited descriptors from being inherited further: no pod
// may hold the lab's listener.
func CloseOnExec(fds ...int) {
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

// tryNetwork does the two things that sandboxes forbid although they allowed
// the namespaces: it brings lo up and makes an nftables table.
func tryNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	nft := &nftables.Conn{}
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "tightrope_probe"})
	nft.DelTable(table)
	if err := nft.Flush(); err != nil {
		return fmt.Errorf("add an nftables table: %w", err)
	}
	return nil
}
