package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/node"
)

// startDeadline is generous: a loaded machine is slow, a lab that hangs is wrong.
const startDeadline = 3 * time.Minute

// Supervise is `labd supervise`: it starts the lab's components in the order of
// their needs, says when all is ready, and then waits for the first one to die.
func Supervise(args []string) int {
	closeOnExec(fdListener, fdProgress)
	report := newReporter(os.NewFile(fdProgress, "progress"))
	cfg, err := decodeConfig(args)
	if err != nil {
		report.fail("", err)
		return 1
	}
	listener, err := net.FileListener(os.NewFile(fdListener, "listener"))
	if err != nil {
		report.fail("", fmt.Errorf("inherited listener: %w", err))
		return 1
	}
	s := &supervisor{cfg: cfg, report: report, listener: listener, exits: make(chan error, 8+cfg.Nodes)}
	report.step("namespaces")
	report.fail("", s.run())
	return 1
}

type supervisor struct {
	cfg      Config
	report   *reporter
	listener net.Listener
	exits    chan error // a component that ended, with the end of its log
	client   kubernetes.Interface
}

// run returns when a component ends or cannot start: never with nil.
func (s *supervisor) run() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), startDeadline,
		fmt.Errorf("not ready after %v; the machine may be too busy or too small", startDeadline))
	defer cancel()
	up := make(chan error, 1)
	go func() { up <- s.bringUp(ctx) }()
	for {
		select {
		case err := <-s.exits:
			return err
		case err := <-up:
			if err == nil {
				up = nil // from now on only an end is news
				continue
			}
			select { // the death of a component explains more than the wait that it broke
			case dead := <-s.exits:
				return dead
			default:
				return err
			}
		}
	}
}

func (s *supervisor) bringUp(ctx context.Context) error {
	if err := buildUnderlay(); err != nil {
		return err
	}
	kubeconfig, err := controlplane.WriteCredentials(s.cfg.Nodes, fmt.Sprintf("https://127.0.0.1:%d", s.cfg.Port))
	if err != nil {
		return err
	}
	if s.client, err = controlplane.Client(); err != nil {
		return err
	}
	if err := s.startEtcd(ctx); err != nil {
		return err
	}
	if err := s.startServer(ctx); err != nil {
		return err
	}
	go relay(s.listener, controlplane.Server)
	if err := s.startRest(ctx); err != nil {
		return err
	}
	s.report.send(Event{Ready: true, Kubeconfig: string(kubeconfig)})
	return nil
}

// startEtcd returns when etcd has said, on a pipe, that it serves.
func (s *supervisor) startEtcd(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = start(s.exits, "etcd", []string{"etcd"}, 0, w)
	w.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	if n, err := r.Read(make([]byte, 1)); n != 1 {
		return errors.Join(errors.New("etcd did not become ready"), err, context.Cause(ctx))
	}
	s.report.step("etcd")
	return nil
}

// startServer returns when the API server listens. Until it is ready another
// second passes, in which the components below load and connect.
func (s *supervisor) startServer(ctx context.Context) error {
	if _, err := start(s.exits, "apiserver", []string{"apiserver"}, 0); err != nil {
		return err
	}
	return controlplane.WaitListening(ctx, s.client)
}

// startRest starts everything that needs the API server, at once.
func (s *supervisor) startRest(ctx context.Context) error {
	for i := 1; i <= s.cfg.Nodes; i++ {
		if err := s.startNode(i); err != nil {
			return err
		}
	}
	if err := s.wait("apiserver", controlplane.WaitServing(ctx, s.client)); err != nil {
		return err
	}
	components := []string{"controller-manager"}
	if s.cfg.Nodes > 0 {
		components = append(components, "scheduler")
	}
	for _, name := range components {
		if _, err := start(s.exits, name, []string{name}, 0); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.wait("controllers", controlplane.WaitAccounts(ctx, s.client)) })
	if s.cfg.Nodes > 0 {
		g.Go(func() error { return s.wait("nodes", controlplane.WaitNodes(ctx, s.client, s.cfg.Nodes)) })
		g.Go(func() error {
			if err := controlplane.ApplyDNS(ctx, s.client, s.cfg.Nodes); err != nil {
				return err
			}
			return s.wait("dns", controlplane.WaitDNS(ctx, s.client))
		})
	}
	return g.Wait()
}

func (s *supervisor) wait(name string, err error) error {
	if err == nil {
		s.report.step(name)
	}
	return err
}

// startNode starts a node's process in a network namespace of its own. The
// process waits on a pipe until that namespace is plugged into the underlay.
func (s *supervisor) startNode(i int) error {
	name := fmt.Sprintf("node-%d", i)
	cfg := node.Config{Name: name, Index: i, IP: nodeAddress(i), PodCIDR: podCIDR(i),
		ServiceCIDR: controlplane.ServiceCIDR, ClusterDNS: controlplane.DNSIP,
		Kubeconfig: controlplane.KubeconfigPath(name), Images: s.cfg.imagesInside(),
		Dataplane: s.cfg.Dataplane, RootDir: "/var/lib/kubelet-" + name, APIServer: controlplane.Server}
	b, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("configuration of %s: %w", name, err)
	}
	file := filepath.Join(statePath, name+".json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fmt.Errorf("configuration of %s: %w", name, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	p, err := start(s.exits, name, []string{"node", "--config", file}, unix.CLONE_NEWNET, r)
	r.Close()
	if err != nil {
		return err
	}
	if err := plugNode(i, s.cfg.Nodes, p.cmd.Process.Pid); err != nil {
		return err
	}
	_, err = w.Write([]byte{1})
	return err
}
