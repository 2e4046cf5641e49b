package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
	"github.com/tightrope-dev/tightrope/clusters/labd/node"
)

// plugNodes starts the nodes' processes, each in a network namespace of its own,
// and plugs these into the underlay. The processes then wait on a pipe.
func (s *supervisor) plugNodes() error {
	for i := 1; i <= s.cfg.Nodes; i++ {
		w, err := s.plugNode(i)
		if err != nil {
			return err
		}
		s.waiting = append(s.waiting, w)
	}
	return nil
}

// plugNode starts one node's process; one byte on the pipe lets it go.
func (s *supervisor) plugNode(i int) (*os.File, error) {
	name := nodeName(i)
	file := filepath.Join(layout.State, name+".json")
	b, err := json.Marshal(s.nodeConfig(i, name))
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", name, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := s.start(name, []string{"node", "--config", file}, unix.CLONE_NEWNET, r)
	r.Close()
	if err == nil {
		err = plugNode(s.cfg.Families, i, s.cfg.Nodes, p.cmd.Process.Pid)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }

func (s *supervisor) nodeConfig(i int, name string) node.Config {
	f := s.cfg.Families
	return node.Config{Name: name, Index: i, IPs: nodeAddresses(f, i), PodCIDRs: podCIDRs(f, i), ClusterDNS: f.DNSIPs()[0],
		Kubeconfig: controlplane.KubeconfigPath(name), Images: s.cfg.ImagesInside(), Unpacked: s.unpacked,
		Dataplane: s.cfg.Dataplane, RootDir: "/var/lib/kubelet-" + name, APIServer: f.Server()}
}

// releaseNodes lets the nodes go: the API server is ready for them.
func (s *supervisor) releaseNodes() error {
	for _, w := range s.waiting {
		if err := release(w); err != nil {
			return err
		}
	}
	s.waiting = nil
	return nil
}

func release(w *os.File) error {
	defer w.Close()
	if _, err := w.Write([]byte{1}); err != nil {
		return fmt.Errorf("let a node go: %w", err)
	}
	return nil
}
