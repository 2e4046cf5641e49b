package warden

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

// hostPath is where the lab keeps what a program that is not static needs of the
// machine: at its usual place below hostPath, read-only. Containers of such
// programs are shown it, others are not.
const hostPath = "/host"

// hostTrees hold interpreters, libraries and the data that programs bring along.
// On most machines all but the first are links into it. Nothing in them is secret:
// every user of the machine may read them.
var hostTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// hostFiles of /etc are how the trees find their own parts.
var hostFiles = []string{"/etc/ld.so.cache", "/etc/alternatives"}

// static is true of a program that needs no file but itself.
func static(program string) bool {
	f, err := elf.Open(program)
	if err != nil {
		return false // a script, most likely: its interpreter is among the host's files
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// folder is true of an unpacked image.
func folder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func inTrees(path string) bool {
	return slices.ContainsFunc(hostTrees, func(tree string) bool { return strings.HasPrefix(path, tree+"/") })
}

// findHostPrograms notes which images are programs that need the machine's files.
// A link from elsewhere into the trees is followed; within them its name is kept,
// because some programs look at the name they are called by.
func (c *Config) findHostPrograms() error {
	c.Host = nil
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		path, args, more := strings.Cut(c.Images[name], " ")
		if folder(path) || static(path) {
			continue
		}
		if !inTrees(path) {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				return fmt.Errorf("image %s: %w", name, err)
			}
			path = real
			c.Images[name] = path
			if more {
				c.Images[name] += " " + args
			}
		}
		if !slices.Contains(c.Host, path) {
			c.Host = append(c.Host, path)
		}
	}
	return nil
}

// showHost puts the machine's files below root's hostPath, if any image needs them.
func showHost(root string, programs []string) error {
	if len(programs) == 0 {
		return nil
	}
	files := append(slices.Clone(hostTrees), hostFiles...)
	for _, program := range programs {
		if !inTrees(program) {
			files = append(files, program)
		}
	}
	for _, file := range files {
		if err := showFile(file, filepath.Join(root, hostPath, file)); err != nil {
			return fmt.Errorf("show %s to images that need it: %w", file, err)
		}
	}
	return nil
}

// showFile copies a link, and binds anything else. What the machine does not have is left out.
func showFile(from, to string) error {
	st, err := os.Lstat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(strings.TrimPrefix(target, "/"), to) // these are links of the root directory
	}
	if st.IsDir() {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	} else if err := bindFile(from, to); err != nil {
		return err
	}
	return container.ReadOnly(to, unix.MOUNT_ATTR_NOSUID) // set-user-ID programs lose their powers
}
