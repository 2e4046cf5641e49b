package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/gate"
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
		s.nodes = append(s.nodes, w)
	}
	return nil
}

// plugNode starts one node's process; one byte on the pipe lets it go.
func (s *supervisor) plugNode(i int) (*os.File, error) {
	name := nodeName(i)
	file := filepath.Join(statePath, name+".json")
	b, err := json.Marshal(s.nodeConfig(i, name))
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", name, err)
	}
	p, w, err := s.startWaiting(name, []string{"node", "--config", file}, unix.CLONE_NEWNET)
	if err != nil {
		return nil, err
	}
	if err := plugNode(s.cfg.families(), i, s.cfg.Nodes, p.cmd.Process.Pid); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// startWaiting starts a component that waits until its gate is opened.
func (s *supervisor) startWaiting(name string, args []string, flags uintptr) (*process, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := s.start(name, args, flags, r)
	r.Close()
	if err != nil {
		w.Close()
	}
	return p, w, err
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }

func (s *supervisor) nodeConfig(i int, name string) node.Config {
	f := s.cfg.families()
	return node.Config{Name: name, Index: i, IPs: nodeAddresses(f, i), PodCIDRs: podCIDRs(f, i), ClusterDNS: f.DNSIPs()[0],
		Kubeconfig: controlplane.KubeconfigPath(name), Images: s.cfg.imagesInside(),
		Dataplane: s.cfg.Dataplane, RootDir: "/var/lib/kubelet-" + name, APIServer: f.Server()}
}

// openGates lets what waits go.
func openGates(waiting []*os.File) error {
	for _, w := range waiting {
		if err := gate.Open(w); err != nil {
			return err
		}
	}
	return nil
}
