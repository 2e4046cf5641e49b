package cri

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

// ownUser is the user that images say they have: nobody asks for it, so a container
// with it was not asked for any, and runs as the lab's own. It is not 0, because on
// the machine the lab's processes belong to whoever started the lab: a pod that
// must not run as root may run.
const ownUser = 1<<31 - 2

// user is whom a container runs as. A group without a user is not applied.
func (p *process) user() container.User {
	security := p.config.GetLinux().GetSecurityContext()
	uid := security.GetRunAsUser().GetValue()
	if uid == 0 || uid == ownUser {
		return container.User{}
	}
	return container.User{UID: uid, GID: security.GetRunAsGroup().GetValue()}
}

// privilegesOf a container, as its securityContext asks.
func privilegesOf(c *runtimeapi.ContainerConfig) (container.Privileges, error) {
	security := c.GetLinux().GetSecurityContext()
	asked := security.GetCapabilities()
	granted, err := container.Grant(asked.GetAddCapabilities(), asked.GetDropCapabilities())
	if err != nil {
		return container.Privileges{}, fmt.Errorf("container %s: %w", c.GetMetadata().GetName(), err)
	}
	return container.Privileges{Capabilities: granted, NoNewPrivileges: security.GetNoNewPrivs()}, nil
}

// as makes cmd, a container-init, start in a user namespace where it is u.
func as(u container.User, attr *syscall.SysProcAttr) {
	if u.Root() {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(u.UID), HostID: 0, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(u.GID), HostID: 0, Size: 1}}
	attr.AmbientCaps = container.Capabilities
}

// held is a command that waits, as a container-exec, until its user namespace
// knows its ids. Whoever clones it cannot write them: that thread sees the
// container's /proc, not ours.
type held struct {
	user       container.User
	wait, open *os.File
}

// hold prepares cmd to wait. Call release whatever becomes of it.
func hold(cmd *exec.Cmd, u container.User) (*held, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	return &held{u, r, w}, nil
}

// release gives a command that has started its ids, and lets it go.
func (h *held) release(cmd *exec.Cmd) error {
	defer closeAll(h.wait, h.open)
	if cmd.Process == nil {
		return nil
	}
	for file, id := range map[string]int64{"uid_map": h.user.UID, "gid_map": h.user.GID} {
		if err := writeMap(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file), id); err != nil {
			return fmt.Errorf("ids of the command: %w", err) // its wait ends without a byte, and so does it
		}
	}
	_, err := h.open.Write([]byte{1})
	return err
}

func writeMap(file string, id int64) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d 0 1\n", id)
	return errors.Join(err, f.Close())
}
