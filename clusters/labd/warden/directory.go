package warden

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Files of the lab's directory. The lock (of the open
// file description, fcntl) is held as long as its warden
// lives: that is how others tell a living lab from a directory left behind.
const (
	lockFile       = "lock"
	statusFile     = "status.json"
	socketFile     = "control.sock"
	insideFile     = "inside.sock" // shorter than socketFile, whose path's length is checked
	kubeconfigFile = "kubeconfig"
	endedFile      = "ended.json" // why a lab ended by itself; it stays behind
)

// errLive is returned for a directory whose warden lives.
var errLive = errors.New("a lab is already up here")

// directory is the lab's one trace outside its namespaces, while it lives.
type directory struct {
	path string
	lock *os.File
}

// claimTries times claimPause is how long claim bears with a sweeper, which
// holds the lock of what it removes.
const (
	claimTries = 10
	claimPause = 20 * time.Millisecond
)

// claim creates the directory and takes its lock. What a dead warden left in it
// is removed first.
func claim(path string) (*directory, error) {
	reason := fmt.Errorf("lab directory %s: removed again and again while it was being created", path)
	for range claimTries {
		d, err := tryClaim(path)
		switch {
		case err == nil:
			return d, nil
		case errors.Is(err, errLive):
			reason = err
		case !errors.Is(err, os.ErrNotExist): // which a sweeper may bring about between two calls
			return nil, fmt.Errorf("lab directory: %w", err)
		}
		time.Sleep(claimPause)
	}
	return nil, reason
}

func tryClaim(path string) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		lock.Close()
		return nil, errLive
	}
	if !sameFile(lock) {
		lock.Close()
		return nil, os.ErrNotExist
	}
	for _, f := range []string{statusFile, socketFile, insideFile, kubeconfigFile, endedFile} {
		_ = os.Remove(filepath.Join(path, f))
	}
	return &directory{path: path, lock: lock}, nil
}

// sameFile is false when the file was unlinked, or replaced, after it was opened.
func sameFile(f *os.File) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(held, named)
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// remove takes the directory away, and its parent if no other lab is in it.
func (d *directory) remove() {
	_ = os.RemoveAll(d.path)
	_ = os.Remove(filepath.Dir(d.path))
	d.lock.Close()
}

// ended is why a lab ended that nobody held in hand.
type ended struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// leave takes everything away but the reason of the lab's end.
func (d *directory) leave(reason error) {
	b, err := json.Marshal(ended{time.Now(), reason.Error()})
	if err == nil {
		err = d.write(endedFile, b)
	}
	if err != nil {
		d.remove()
		return
	}
	for _, f := range []string{statusFile, socketFile, insideFile, kubeconfigFile} {
		_ = os.Remove(d.file(f))
	}
	d.lock.Close()
}

// status is what the warden says about its lab to others.
type status struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Ready      bool      `json:"ready"`
	Nodes      int       `json:"nodes"`
	Dataplane  string    `json:"dataplane"`
	Kubeconfig string    `json:"kubeconfig"`
	Labd       string    `json:"labd"`
}

// write replaces the file in one rename, so that readers see the old or the new.
func (d *directory) write(name string, data []byte) error {
	tmp := d.file("." + name)
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, d.file(name))
}

func (d *directory) writeStatus(s status) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return d.write(statusFile, append(b, '\n'))
}
