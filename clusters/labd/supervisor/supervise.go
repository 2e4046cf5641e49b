package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/faults"
	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
	"github.com/tightrope-dev/tightrope/clusters/labd/warden"
)

// startDeadline is generous: a loaded machine is slow, a lab that hangs is wrong.
const startDeadline = 3 * time.Minute

// Supervise is `hyperkube supervise`: it starts the lab's components in the order of
// their needs, says when all is ready, and then waits for the first one to die. The
// stamp is that of this build.
func Supervise(args []string, stamp string) int {
	warden.CloseOnExec(warden.FDListener, warden.FDProgress, warden.FDInside)
	report := warden.NewReporter(os.NewFile(warden.FDProgress, "progress"))
	cfg, err := warden.DecodeConfig(args)
	if err != nil {
		report.Fail("", err)
		return 1
	}
	if err := sameBuild(cfg.Stamp, stamp); err != nil {
		report.Fail("", err)
		return 1
	}
	listener, err := net.FileListener(os.NewFile(warden.FDListener, "listener"))
	if err != nil {
		report.Fail("", fmt.Errorf("inherited listener: %w", err))
		return 1
	}
	inside, err := net.FileListener(os.NewFile(warden.FDInside, "inside"))
	if err != nil {
		report.Fail("", fmt.Errorf("inherited listener for requests: %w", err))
		return 1
	}
	s := &supervisor{cfg: cfg, report: report, listener: listener, inside: inside,
		exits: make(chan error, 8+cfg.Nodes), processes: map[string]*process{}}
	report.Step("namespaces")
	err = s.run()
	stage := ""
	if _, refused := errors.AsType[refusal](err); refused {
		stage = "usage"
	}
	report.Fail(stage, err)
	return 1
}

// sameBuild: the two halves speak a private protocol.
func sameBuild(labd, ours string) error {
	if labd != ours {
		return fmt.Errorf("labd is of build %.40q and the hyperkube beside it of %q; build both with `make labd`", labd, ours)
	}
	return nil
}

type supervisor struct {
	cfg      warden.Config
	report   *warden.Reporter
	listener net.Listener
	inside   net.Listener // requests from outside to the lab itself
	exits    chan error   // a component that ended, with the end of its log
	client   kubernetes.Interface
	waiting  []*os.File // one pipe per node that waits for its go
	unpacked []oci.Image

	mu        sync.Mutex
	processes map[string]*process // by component, the last one started
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
	unpacking := s.unpackImages() // meanwhile
	if err := buildUnderlay(s.cfg.Families); err != nil {
		return err
	}
	kubeconfig, err := controlplane.WriteCredentials(s.cfg.Families, s.cfg.Nodes, fmt.Sprintf("https://127.0.0.1:%d", s.cfg.Port))
	if err != nil {
		return err
	}
	if s.client, err = controlplane.Client(); err != nil {
		return err
	}
	if err := s.startEtcd(ctx); err != nil {
		return err
	}
	s.report.Step("etcd")
	if err := s.startAPIServer(); err != nil {
		return err
	}
	if <-unpacking.done; unpacking.err != nil {
		return unpacking.err
	}
	s.unpacked = unpacking.images
	if err := s.plugNodes(); err != nil { // meanwhile
		return err
	}
	if err := s.wait("apiserver", controlplane.WaitServing(ctx, s.client)); err != nil {
		return err
	}
	go relay(s.listener, s.cfg.Families.Server())
	if err := s.startRest(ctx); err != nil {
		return err
	}
	keeper := faults.NewKeeper(machine{s}, apifault.OpenFile(controlplane.FaultsFile))
	go s.answer(keeper)
	go func() { // it ends with the lab, as all here does
		if err := keeper.FollowAnnotations(context.Background()); err != nil {
			s.exits <- err
		}
	}()
	s.report.Send(warden.Event{Ready: true, Kubeconfig: string(kubeconfig)})
	return nil
}

func (s *supervisor) startAPIServer() error {
	_, err := s.start("apiserver", []string{"apiserver", string(s.cfg.Families)}, 0)
	return err
}

// startEtcd returns when etcd has said, on a pipe, that it serves.
func (s *supervisor) startEtcd(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = s.start("etcd", []string{"etcd"}, 0, w)
	w.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	if n, err := r.Read(make([]byte, 1)); n != 1 {
		return errors.Join(errors.New("etcd did not become ready"), err, context.Cause(ctx))
	}
	return nil
}

// startRest starts everything that needs the API server, and waits for it. The
// nodes' rights are among the manifests, so nodes go after them.
func (s *supervisor) startRest(ctx context.Context) error {
	components := []string{"controller-manager"}
	if s.cfg.Nodes > 0 {
		components = append(components, "scheduler")
	}
	for _, name := range components {
		if _, err := s.start(name, []string{name}, 0); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.wait("controllers", controlplane.WaitAccounts(ctx, s.client)) })
	if s.cfg.Nodes > 0 {
		if err := controlplane.ApplyDNS(ctx, s.client, s.cfg.Families, s.cfg.Nodes); err != nil {
			return err
		}
		if err := s.releaseNodes(); err != nil {
			return err
		}
		g.Go(func() error { return s.wait("nodes", controlplane.WaitNodes(ctx, s.client, s.cfg.Nodes)) })
		g.Go(func() error { return s.wait("dns", controlplane.WaitDNS(ctx, s.client)) })
	}
	return g.Wait()
}

func (s *supervisor) wait(name string, err error) error {
	if err == nil {
		s.report.Step(name)
	}
	return err
}
