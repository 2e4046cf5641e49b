package lab

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// unnamedFile outlives nobody, and leaves no file.
func unnamedFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ownSession keeps a terminal's Ctrl-C from a process: it is for us to handle.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// takeLock takes a file's lock if nobody holds it, until the file is closed.
func takeLock(f *os.File) bool {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole) == nil
}

// locked is true when somebody holds a file's lock. Asking takes none.
func locked(f *os.File) bool {
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type != unix.F_UNLCK
}

// ownedBy is true when a file belongs to the user with that ID.
func ownedBy(st fs.FileInfo, user int) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == user
}
