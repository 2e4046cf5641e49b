package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// defaults are the capabilities that containerd gives to a container. None of them
// lets a program change mounts, so what is mounted read-only stays so.
var defaults = []capability.Cap{
	capability.CAP_CHOWN, capability.CAP_DAC_OVERRIDE, capability.CAP_FSETID, capability.CAP_FOWNER, capability.CAP_MKNOD,
	capability.CAP_NET_RAW, capability.CAP_SETGID, capability.CAP_SETUID, capability.CAP_SETFCAP, capability.CAP_SETPCAP,
	capability.CAP_NET_BIND_SERVICE, capability.CAP_SYS_CHROOT, capability.CAP_KILL, capability.CAP_AUDIT_WRITE,
}

// Privileges are what a container's programs may do besides being their User. The
// zero Privileges are no capability, and new ones from set-user-ID files.
type Privileges struct {
	Capabilities    []capability.Cap // of a program that runs as root; any other has none
	NoNewPrivileges bool
}

// Grant is the defaults, changed as securityContext.capabilities asks: first all of
// them, then what is added, and last what is dropped, so that dropping wins. Names
// are Kubernetes' ("NET_ADMIN", "ALL"); one that Linux does not know is an error.
func Grant(add, drop []string) ([]capability.Cap, error) {
	granted := slices.Clone(defaults)
	if slices.ContainsFunc(add, isAll) {
		granted = capability.ListKnown()
	}
	if slices.ContainsFunc(drop, isAll) {
		granted = nil
	}
	for _, name := range add {
		c, err := named(name)
		if err != nil {
			return nil, err
		}
		if !isAll(name) && !slices.Contains(granted, c) {
			granted = append(granted, c)
		}
	}
	for _, name := range drop {
		c, err := named(name)
		if err != nil {
			return nil, err
		}
		if !isAll(name) {
			granted = slices.DeleteFunc(granted, func(g capability.Cap) bool { return g == c })
		}
	}
	return granted, nil
}

func isAll(name string) bool { return strings.EqualFold(name, "ALL") }

func named(name string) (capability.Cap, error) {
	lower := strings.TrimPrefix(strings.ToLower(name), "cap_")
	for _, c := range capability.ListKnown() {
		if c.String() == lower || isAll(name) {
			return c, nil
		}
	}
	return 0, fmt.Errorf("capability %q: Linux has none of this name; look at capabilities(7)", name)
}

// Apply reduces the calling thread, which must have all capabilities of its user
// namespace, to what programs that it executes as u may do.
func (p Privileges) Apply(u User) error {
	granted := p.Capabilities
	if !u.Root() {
		granted = nil
	} else if err := bound(granted); err != nil {
		return err
	}
	c, err := capability.NewPid2(0)
	if err == nil {
		c.Set(capability.EFFECTIVE|capability.PERMITTED, granted...)
		err = c.Apply(capability.CAPS | capability.AMBS) // no ambient ones
	}
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return p.RefuseNew()
}

// RefuseNew makes the calling thread, and what it starts, gain nothing from
// set-user-ID files, if that was asked for.
func (p Privileges) RefuseNew() error {
	if !p.NoNewPrivileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse new privileges: %w", err)
	}
	return nil
}

// bound takes all other capabilities out of reach of whatever the thread executes.
// A program that is not root has none in any case, and cannot get one: its user
// namespace has no root.
func bound(granted []capability.Cap) error {
	supported, err := capability.ListSupported()
	if err != nil {
		return fmt.Errorf("capabilities of the kernel: %w", err)
	}
	for _, c := range supported {
		if slices.Contains(granted, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %s: %w", c, err)
		}
	}
	return nil
}
