package kind

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	osexec "os/exec"
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

// Files of a process's folder, beside the kubeconfig.
const (
	whereFile = "provider" // what runs the cluster's containers, and where
	keptFile  = "kept"     // whose being there says that the cluster is somebody's now
)

// runners are the programs that kind looks for, in its order.
var runners = []string{"docker", "nerdctl", "finch", "podman"}

// where names what runs the containers, and where: another one does not list this one's
// clusters.
func where() string {
	var said strings.Builder
	for _, program := range runners { // kind takes the first that is there
		if path, err := osexec.LookPath(program); err == nil {
			said.WriteString(path + "\n")
			break
		}
	}
	for _, name := range []string{providerEnv, "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE"} {
		said.WriteString(name + "=" + os.Getenv(name) + "\n")
	}
	return said.String()
}

// folderOf makes the folder of this process's cluster, which says where that is.
func folderOf() (string, error) {
	folder, err := os.MkdirTemp("", prefix+"kind-"+strconv.Itoa(os.Getpid())+"-*")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, whereFile), []byte(where()), 0o600); err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	return folder, nil
}

// forget removes the folders of processes that were killed, once their clusters are
// gone: credentials of a cluster are in them. One that was kept, and one of a provider
// that was not asked, stays.
func forget(names []string) {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"kind-*-*")) // the pattern is well-formed
	for _, folder := range folders {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), prefix+"kind-"), "-")
		id, err := strconv.Atoi(pid)
		if err != nil || alive(id) || slices.Contains(names, prefix+pid) {
			continue
		}
		of, err := os.ReadFile(filepath.Join(folder, whereFile))
		_, kept := os.Stat(filepath.Join(folder, keptFile))
		if err == nil && string(of) == where() && errors.Is(kept, fs.ErrNotExist) {
			_ = os.RemoveAll(folder) // another user's stays
		}
	}
}

// alive reports whether a process has the ID, whosever it is.
func alive(id int) bool {
	p, err := os.FindProcess(id)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
