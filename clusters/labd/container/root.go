package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountSource marks the lab's file systems in /proc/*/mountinfo.
const mountSource = "tightrope-lab"

// rootSize bounds what one container may write outside its volumes.
const rootSize = "size=256m,mode=0755"

// buildRoot mounts the container's root, fills it, and makes it the only one.
func buildRoot(s *Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(mountSource, s.Root, "tmpfs", unix.MS_NOSUID, rootSize); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, step := range []func(*Spec) error{makeFiles, makeDevices, showProgram, mountProc, guardProc, bindVolumes, pivot} {
		if err := step(s); err != nil {
			return err
		}
	}
	if !s.ReadOnlyRoot {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

func makeFiles(s *Spec) error {
	dirs := []string{"dev/shm", "etc/ssl/certs", "old", "proc", "root", "run", "tmp", "var/run", "var/tmp"}
	if s.Host == "" {
		dirs = append(dirs, "bin", "usr") // else the machine's
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(s.Root, dir), 0o755); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	for _, dir := range []string{"tmp", "var/tmp", "dev/shm"} {
		if err := os.Chmod(filepath.Join(s.Root, dir), 0o777|os.ModeSticky); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	for name, text := range map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/false\n" + s.User.passwd(),
		"group":         "root:x:0:\n" + s.User.group(),
		"hosts":         "127.0.0.1\tlocalhost\n",
		"hostname":      s.Hostname + "\n",
		"resolv.conf":   s.ResolvConf,
		"nsswitch.conf": "hosts: files dns\n",
	} {
		if err := os.WriteFile(filepath.Join(s.Root, "etc", name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("root: %w", err)
		}
	}
	// Where the node has no certificates, the container has none either.
	if certificates := "/etc/ssl/certs"; there(certificates) {
		if err := bind(certificates, filepath.Join(s.Root, certificates), true); err != nil {
			return fmt.Errorf("certificates: %w", err)
		}
	}
	return nil
}

// makeDevices shows devices of the machine. They are mounted read-only, which does not
// keep anybody from writing to them, but from changing their owner or mode.
func makeDevices(s *Spec) error {
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bind(filepath.Join("/dev", dev), filepath.Join(s.Root, "dev", dev), true); err != nil {
			return fmt.Errorf("device %s: %w", dev, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(s.Root, "dev", name)); err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
	}
	if s.Shm == "" {
		return nil
	}
	if err := bind(s.Shm, filepath.Join(s.Root, "dev/shm"), false); err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	return nil
}

func showProgram(s *Spec) error {
	if s.Host != "" {
		return showHost(s.Host, s.Root)
	}
	return bindProgram(s)
}

// ownFolders are the container's, whatever an image brings along.
var ownFolders = []string{"dev", "old", "proc", "sys"}

// showHost shows what is in a directory, its links and read-only the rest, at the
// same places in root. Of /etc only the parts are: the container has its own.
func showHost(from, root string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("files of the image: %w", err)
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(root, e.Name())
		switch {
		case slices.Contains(ownFolders, e.Name()), there(target) && (!e.IsDir() || empty(source)):
			continue
		case e.Name() == "etc":
			err = showHost(source, target)
		case e.Type()&os.ModeSymlink != 0:
			var link string
			if link, err = os.Readlink(source); err == nil {
				err = os.Symlink(link, target)
			}
		default:
			err = bind(source, target, true)
		}
		if err != nil {
			return fmt.Errorf("files of the image: /%s: %w", e.Name(), err)
		}
	}
	return nil
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// bindProgram puts the image's program at /name, and a link to it in /bin.
func bindProgram(s *Spec) error {
	if err := bind(s.Binary, filepath.Join(s.Root, s.Name), true); err != nil {
		return fmt.Errorf("program of the image: %w", err)
	}
	if err := os.Symlink("/"+s.Name, filepath.Join(s.Root, "bin", s.Name)); err != nil {
		return fmt.Errorf("program of the image: %w", err)
	}
	return nil
}

func mountProc(s *Spec) error {
	err := unix.Mount("proc", filepath.Join(s.Root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// What of /proc is about the machine and not about the container, as containerd has
// it. Where the lab belongs to root, its uid 0 owns these files, and needs no
// capability to write them.
var (
	readOnlyProc = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
	hiddenProc   = []string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"}
)

// guardProc keeps programs from changing the machine through /proc.
func guardProc(s *Spec) error {
	for _, name := range readOnlyProc {
		if path := filepath.Join(s.Root, "proc", name); there(path) {
			if err := bind(path, path, true); err != nil {
				return fmt.Errorf("protect /proc/%s: %w", name, err)
			}
		}
	}
	for _, name := range hiddenProc {
		if err := hide(filepath.Join(s.Root, "proc", name)); err != nil {
			return fmt.Errorf("hide /proc/%s: %w", name, err)
		}
	}
	return nil
}

// hide covers a file with an empty one, and a folder with an empty one.
func hide(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return unix.Mount(mountSource, path, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=0k")
	}
	return bind("/dev/null", path, true)
}

func bindVolumes(s *Spec) error {
	for _, m := range s.Mounts {
		target, err := inside(s.Root, m.Target)
		if err == nil {
			err = bind(m.Source, target, m.ReadOnly)
		}
		if err != nil {
			return fmt.Errorf("volume at %s: %w", m.Target, err)
		}
	}
	return nil
}

// inside resolves a container's path below root, step by step: a link that an
// earlier volume brought along must not lead a mount out of the root.
func inside(root, target string) (string, error) {
	at := root
	for _, part := range strings.Split(filepath.Clean("/"+target), "/") {
		if part == "" {
			continue
		}
		at = filepath.Join(at, part)
		st, err := os.Lstat(at)
		if err == nil && st.Mode()&os.ModeSymlink != 0 {
			return "", fmt.Errorf("%s is a symbolic link", strings.TrimPrefix(at, root))
		}
	}
	return at, nil
}

// bind mounts from on to, and makes to if it is missing. Read-only is all that is
// mounted below, too.
func bind(from, to string, readOnly bool) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !there(to) {
		if err := mountPoint(to, st.IsDir()); err != nil {
			return err
		}
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if !readOnly {
		return nil
	}
	return ReadOnly(to, 0)
}

// ReadOnly makes a mount and all that is mounted below it read-only, and sets the
// other attributes (unix.MOUNT_ATTR_…). What was set stays set.
func ReadOnly(path string, attributes uint64) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | attributes})
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("make %s read-only: %w: mount_setattr needs Linux 5.12; use a newer kernel, or a kind cluster", path, err)
	} else if err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func mountPoint(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// pivot makes the new root the only one.
func pivot(s *Spec) error {
	if err := unix.PivotRoot(s.Root, filepath.Join(s.Root, "old")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the node's file systems: %w", err)
	}
	if err := os.Remove("/old"); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return nil
}
