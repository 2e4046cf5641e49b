package container

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Spec is all that container-init needs to know. It crosses a pipe as JSON.
type Spec struct {
	Hostname     string
	Root         string   // an empty directory; the container's tmpfs is mounted there, seen by itself only
	Binary       string   // path of the image's program, outside; empty where Host is not
	Name         string   // its name inside: /Name
	Host         string   // a folder with the files that the program needs, and the program itself; empty: it is static
	Argv         []string // never empty; Argv[0] without a slash at its front is looked up
	Env          []string // KEY=value
	Dir          string   // working directory, created if missing; empty means /
	Mounts       []Mount  // in order of their target's depth
	ResolvConf   string   // content of /etc/resolv.conf
	ReadOnlyRoot bool
	Shm          string // the pod's /dev/shm, a directory outside; empty: one of its own
	User         User
	Privileges   Privileges
}

// Mount is one volume: a directory or file of the node, bound into the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Command is the argument vector that Kubernetes' rules give: entry is the
// image's entry point, command replaces it, args follow.
func Command(entry, command, args []string) []string {
	if len(command) > 0 {
		entry = command
	}
	return append(append([]string{}, entry...), args...)
}

// validate refuses what would escape the root or cannot start.
func (s *Spec) validate() error {
	switch {
	case s.Root == "" || s.Binary == "" && s.Host == "":
		return errors.New("no root directory or no program")
	case s.Host == "" && s.Name == "" || strings.ContainsAny(s.Name, "/\x00"):
		return fmt.Errorf("program name %q is not a file name", s.Name)
	case len(s.Argv) == 0:
		return errors.New("empty command")
	}
	for _, m := range s.Mounts {
		if !path.IsAbs(m.Target) || !path.IsAbs(m.Source) {
			return fmt.Errorf("mount %q on %q: absolute paths are needed", m.Source, m.Target)
		}
	}
	return nil
}
