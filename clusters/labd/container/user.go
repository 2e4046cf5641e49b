package container

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// User is whom a container's programs see themselves as. The lab has one user and
// no other id to give, so a User that is not root is that same user in a user
// namespace of its own, which calls it by the id that was asked for: files appear
// as its own, and over its pod's namespaces it has no capability. The zero User is
// root of the lab's user namespace.
type User struct{ UID, GID int64 }

// Root is true where no user namespace is needed.
func (u User) Root() bool { return u.UID == 0 }

func (u User) passwd() string {
	if u.Root() {
		return ""
	}
	return fmt.Sprintf("user:x:%d:%d:user:/root:/bin/sh\n", u.UID, u.GID)
}

func (u User) group() string {
	if u.Root() || u.GID == 0 {
		return ""
	}
	return fmt.Sprintf("user:x:%d:\n", u.GID)
}

// Capabilities are what container-init needs to build a root. It has them in the
// container's own user namespace only, and its program does not get them.
var Capabilities = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE}

// FDMapped is the descriptor of a container-exec that ends when its ids are mapped.
const FDMapped = 3

// execMain is `labd container-exec PROGRAM ARGV…`: a further program of a container
// whose user is not root. It was made in the container's namespaces, and in a new
// user namespace like the container's own; when that has its ids, it becomes PROGRAM.
func execMain(args []string) int {
	mapped := os.NewFile(FDMapped, "mapped")
	if n, err := io.Copy(io.Discard, mapped); n == 0 || err != nil || len(args) < 2 {
		fmt.Fprintln(os.Stderr, "labd container-exec is started by the lab's runtime, never by hand")
		return 1
	}
	mapped.Close()
	err := unix.Exec(args[0], args[1:], os.Environ())
	fmt.Fprintf(os.Stderr, "exec %s: %v\n", args[0], err)
	if errors.Is(err, unix.ENOENT) {
		return 127
	}
	return 126
}
