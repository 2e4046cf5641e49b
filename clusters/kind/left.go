package kind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sigs.k8s.io/kind/pkg/cluster"
)

// ErrTaken is that a cluster of the name is there already. It is somebody's, and stays.
var ErrTaken = errors.New("a kind cluster of that name is there")

func list(provider *cluster.Provider) ([]string, error) {
	names, err := provider.List()
	if err != nil {
		return nil, fmt.Errorf("%w: list kind clusters: %w", ErrUnavailable, said(err))
	}
	return names, nil
}

// free refuses a name that is taken, before anything is made that might have to be
// deleted. It tells of what processes have left: those that were killed, and those
// that were to keep their cluster.
func (c *Cluster) free(names []string) error {
	for _, name := range names {
		if name == c.name {
			return fmt.Errorf("%w: %s; delete it with: %s", ErrTaken, name, deletion(name))
		}
		pid, ours := strings.CutPrefix(name, prefix)
		id, err := strconv.Atoi(pid)
		switch {
		case !ours || err != nil:
		case alive(id):
			c.say(fmt.Sprintf("kind cluster %s is in use by process %d; if that is no tightrope, delete it with: %s", name, id, deletion(name)))
		default:
			c.say(fmt.Sprintf("kind cluster %s is left of a run that was killed, or that kept it; delete it with: %s", name, deletion(name)))
		}
	}
	forget(names)
	return nil
}

// forget removes the folders of processes that were killed, once their clusters are
// gone: credentials of a cluster are in them.
func forget(names []string) {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"kind-*-*")) // the pattern is well-formed
	for _, folder := range folders {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), prefix+"kind-"), "-")
		id, err := strconv.Atoi(pid)
		if err == nil && !alive(id) && !slices.Contains(names, prefix+pid) {
			_ = os.RemoveAll(folder) // another user's stays
		}
	}
}

// alive reports whether a process has the ID, whosever it is.
func alive(id int) bool {
	p, err := os.FindProcess(id)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
