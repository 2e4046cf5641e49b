package warden

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// mountSource marks the lab's file systems in /proc/*/mountinfo, for those who look
// for leftovers.
const mountSource = "tightrope-lab"

// buildRoot gives the lab a root file system of its own on a tmpfs. Of the host
// it has the image binaries, six devices and the certificates, and for images that
// are not static what showHost shows.
func buildRoot(cfg Config) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	root := cfg.Dir // hidden by the mount in our namespace only
	if err := unix.Mount(mountSource, root, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	for _, dir := range []string{"bin", "dev/shm", "etc/ssl/certs", layout.Images, "old", "proc", "root", "run/lab/pki",
		"sys", "tmp", layout.Unpacked, "usr", "var/lib", "var/log/lab", "var/run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return fmt.Errorf("root file system: %w", err)
		}
	}
	if err := populate(root, cfg); err != nil {
		return err
	}
	if err := showHost(root, cfg.Host); err != nil {
		return err
	}
	if cfg.Layout != "" {
		if err := bindFile(cfg.Layout, filepath.Join(root, layout.OCI)); err != nil {
			return fmt.Errorf("bind the image layout %s: %w", cfg.Layout, err)
		}
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	mountSys(filepath.Join(root, "sys"))
	if err := unix.PivotRoot(root, filepath.Join(root, "old")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's file systems: %w", err)
	}
	return os.Remove("/old")
}

// populate binds the binaries and devices, and writes the few files of /etc that
// programs look for.
func populate(root string, cfg Config) error {
	binds := cfg.binaries()
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		binds["/dev/"+dev] = "/dev/" + dev
	}
	for from, to := range binds {
		err := bindFile(from, filepath.Join(root, to))
		if err == nil && !strings.HasPrefix(to, "/dev/") {
			err = container.ReadOnly(filepath.Join(root, to), unix.MOUNT_ATTR_NOSUID) // also for who comes by /proc/*/exe
		}
		if err != nil {
			return fmt.Errorf("bind %s: %w", from, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil {
			return fmt.Errorf("root file system: %w", err)
		}
	}
	_ = unix.Mount("/etc/ssl/certs", filepath.Join(root, "etc/ssl/certs"), "", unix.MS_BIND, "") // where the host has them
	for name, text := range map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/false\n",
		"group":         "root:x:0:\n",
		"hosts":         "127.0.0.1 localhost\n",
		"resolv.conf":   "",
		"nsswitch.conf": "hosts: files dns\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("root file system: %w", err)
		}
	}
	return nil
}

// bindFile binds a file, or read-only a folder.
func bindFile(from, to string) error {
	if folder(from) {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
		return container.ReadOnly(to, unix.MOUNT_ATTR_NOSUID)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	f.Close()
	return unix.Mount(from, to, "", unix.MS_BIND, "")
}

// mountSys mounts a /sys of our own network namespace. Some sandboxes forbid it;
// nothing in the lab depends on it, so then the host's is shown, or none.
func mountSys(to string) {
	if unix.Mount("sysfs", to, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "") == nil {
		return
	}
	_ = unix.Mount("/sys", to, "", unix.MS_BIND|unix.MS_REC, "")
}

// binaries maps paths outside to paths inside. Process 1 and the supervisor both
// call it, so its answer depends on the configuration alone.
func (c Config) binaries() map[string]string {
	inside := map[string]string{c.Labd: layout.Labd}
	if c.Hyperkube != "" {
		inside[c.Hyperkube] = layout.Hyperkube
	}
	for i, name := range slices.Sorted(maps.Keys(c.Images)) {
		path, _, _ := strings.Cut(c.Images[name], " ")
		if slices.Contains(c.Host, path) {
			continue
		}
		if _, known := inside[path]; !known {
			inside[path] = fmt.Sprintf("%s/%d", layout.Images, i)
		}
	}
	return inside
}

// ImagesInside maps image names to commands inside the lab's root.
func (c Config) ImagesInside() map[string]string {
	commands := map[string]string{layout.DNSImage: layout.Hyperkube + " coredns"}
	binaries := c.binaries()
	for name, command := range c.Images {
		path, args, found := strings.Cut(command, " ")
		commands[name] = binaries[path]
		if slices.Contains(c.Host, path) {
			commands[name] = hostPath + path
		}
		if found {
			commands[name] += " " + args
		}
	}
	return commands
}
