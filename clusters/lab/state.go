package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// ErrNotUp is returned for a lab that does not run.
var ErrNotUp = errors.New("this lab is not up; start it with `tightrope lab up`")

// Status is what a lab's warden says about it.
type Status struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"` // of the warden
	Started    time.Time `json:"started"`
	Ready      bool      `json:"ready"` // false while it starts
	Nodes      int       `json:"nodes"`
	Dataplane  string    `json:"dataplane"`
	Kubeconfig string    `json:"kubeconfig"`
	Labd       string    `json:"labd"`
}

var nameRule = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// base is the folder of all of this user's labs.
func base() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && ours(dir) == nil {
		return filepath.Join(dir, "tightrope")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("tightrope-%d", os.Getuid()))
}

// ours is nil for a folder that belongs to us and that nobody else can write.
func ours(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ownedBy(st, os.Getuid()):
		return fmt.Errorf("%s belongs to another user; remove it, or set TMPDIR to a folder of your own", dir)
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by other users; run `chmod 700 %s`", dir, dir)
	}
	return nil
}

// directory is where a lab of that name lives. Its parent exists, and is ours.
func directory(name string) (string, error) {
	if !nameRule.MatchString(name) {
		return "", fmt.Errorf("lab name %.40q: use at most 32 lower-case letters, digits and dashes", name)
	}
	parent := base()
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("folder of the labs: %w", err)
	}
	if err := ours(parent); err != nil {
		return "", fmt.Errorf("folder of the labs: %w", err)
	}
	return filepath.Join(parent, name), nil
}

// Find returns the status of the lab with that name. Errors wrap ErrNotUp when there is none.
func Find(name string) (*Status, error) {
	if err := possibleOn(runtime.GOOS); err != nil {
		return nil, err
	}
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("lab %.40q: %w", name, ErrNotUp)
	}
	dir := filepath.Join(base(), name)
	if ours(filepath.Dir(dir)) != nil {
		return nil, fmt.Errorf("lab %q: %w", name, ErrNotUp)
	}
	if !alive(dir) {
		return nil, fmt.Errorf("lab %q: %w%s", name, ErrNotUp, lastWords(dir))
	}
	b, err := os.ReadFile(filepath.Join(dir, "status.json"))
	if err != nil {
		return nil, fmt.Errorf("lab %q: %w", name, err)
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("lab %q: status: %w", name, err)
	}
	return &s, nil
}

// List returns the status of every lab of this user that is up, by name.
func List() ([]Status, error) {
	if err := possibleOn(runtime.GOOS); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(base())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var all []Status
	for _, e := range entries {
		if s, err := Find(e.Name()); err == nil {
			all = append(all, *s)
		}
	}
	return all, nil
}

// Down ends the lab with that name and returns when nothing of it is left.
func Down(ctx context.Context, name string) error {
	s, err := Find(name)
	if err != nil {
		forget(name)
		return err
	}
	dir := filepath.Dir(s.Kubeconfig)
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		return fmt.Errorf("lab %q: its warden does not answer: %w; end process %d", name, err, s.PID)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, err = io.WriteString(conn, "down\n")
	if err == nil {
		_, err = bufio.NewReader(conn).ReadByte() // ends when the warden does
	}
	if ctx.Err() != nil {
		return fmt.Errorf("lab %q: still ending: %w; end process %d if it stays", name, context.Cause(ctx), s.PID)
	}
	if _, left := os.Stat(dir); left == nil && alive(dir) {
		return fmt.Errorf("lab %q: its warden would not end it: %w; end process %d", name, err, s.PID)
	}
	return nil
}

// Sweep removes the directories that killed wardens left behind. A living lab's
// is locked, so it is never touched; nor is one that tells why a lab ended by
// itself, which stays until Up or Down of that name.
func Sweep() {
	parent := base()
	if ours(parent) != nil {
		return
	}
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		dir := filepath.Join(parent, e.Name())
		if e.IsDir() && nameRule.MatchString(e.Name()) && lastWords(dir) == "" {
			sweep(dir)
		}
	}
	_ = os.Remove(parent) // only when it is empty
}

// sweep holds the lock of what it removes, so that no warden moves in meanwhile.
func sweep(dir string) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		_ = os.Remove(dir) // only when it is empty; a warden about to lock it tries again
		return
	} else if err != nil {
		return
	}
	defer lock.Close()
	if takeLock(lock) {
		_ = os.RemoveAll(dir)
	}
}

// alive is true when a warden holds the directory's lock. Asking takes no lock.
func alive(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return locked(f)
}
