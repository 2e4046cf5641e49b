//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayWrite says whether the caller may write a file, also where its mode alone does
// not tell.
func mayWrite(file string) bool { return !errors.Is(unix.Access(file, unix.W_OK), unix.EACCES) }

// keepOwner gives a new file the owner of the one whose place it takes.
func keepOwner(f *os.File, like os.FileInfo) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	is, known := own.Sys().(*syscall.Stat_t)
	want, wanted := like.Sys().(*syscall.Stat_t)
	if known && wanted && (is.Uid != want.Uid || is.Gid != want.Gid) {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("its owner cannot be kept: %w", err)
		}
	}
	return nil
}

// understandsColours is true for every terminal of a Unix that TERM does not call dumb.
func understandsColours(*os.File) bool { return true }
