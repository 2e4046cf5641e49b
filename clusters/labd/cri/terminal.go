package cri

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// terminals is a directory where the node's own pseudo-terminals live. Containers
// are handed one end, and never see the file system it came from.
type terminals string

// openTerminals mounts an empty set of terminals on dir.
func openTerminals(dir string) (terminals, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("terminals: %w", err)
	}
	if err := unix.Mount("devpts", dir, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0600,mode=0620"); err != nil {
		return "", fmt.Errorf("mount terminals: %w", err)
	}
	return terminals(dir), nil
}

func (t terminals) close() error { return unix.Unmount(string(t), unix.MNT_DETACH) }

// terminal is one pseudo-terminal: what is written to ours is typed, what is read
// from ours was printed.
type terminal struct{ ours, theirs *os.File }

func (t terminals) open() (*terminal, error) {
	ours, err := os.OpenFile(filepath.Join(string(t), "ptmx"), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	var theirs uintptr
	err = control(ours, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		var errno unix.Errno
		theirs, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	return &terminal{ours, os.NewFile(theirs, "terminal")}, nil
}

// control calls f with the descriptor and leaves the file's deadlines working.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	return errors.Join(raw.Control(func(fd uintptr) { inner = f(int(fd)) }), inner)
}

// resize follows the client's window until its sizes end.
func (t *terminal) resize(sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		_ = control(t.ours, func(fd int) error { // a terminal that is closed has no size
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
		})
	}
}

// followClient passes on what a client types, and the size of its window. It ends
// with the client's streams. When both have, the client is gone, and the terminal
// hangs up: a shell nobody can type into would stay for ever.
func (c command) followClient(t *terminal) {
	var client sync.WaitGroup
	if c.stdin != nil {
		client.Go(func() { _, _ = io.Copy(t.ours, c.stdin) })
	}
	if c.resize == nil {
		return
	}
	t.resize(c.resize)
	client.Wait()
	t.ours.Close()
}

// runOnTerminal runs a command that has a terminal of its own. Its input stays
// open when the client's ends: terminals know no end, only Ctrl-D.
func (c command) runOnTerminal(all terminals, start func() error, cmd *exec.Cmd) error {
	t, err := all.open()
	if err != nil {
		return err
	}
	defer t.ours.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.theirs, t.theirs, t.theirs
	cmd.SysProcAttr.Setctty = true
	err = start()
	t.theirs.Close()
	if err != nil {
		return err
	}
	printed := make(chan struct{})
	go func() {
		_, _ = io.Copy(orDiscard(c.stdout), t.ours) // its end is an error, EIO
		close(printed)
	}()
	go c.followClient(t)
	err = cmd.Wait()
	select {
	case <-printed:
	case <-time.After(drainTime):
	}
	return err
}
