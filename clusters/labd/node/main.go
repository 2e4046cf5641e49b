package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/tightrope-dev/tightrope/clusters/labd/cri"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
)

// fdGo is an inherited pipe: one byte on it says that the node's network is plugged in.
const fdGo = 3

// Main is `labd node --config FILE`. It returns the process's exit code, after a
// signal or a failure only.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})) // the kubelet tells much else
	slog.SetDefault(log)
	klog.SetSlogLogger(log)
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "labd node:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("node", flag.ContinueOnError)
	file := fs.String("config", "", "file with the node's configuration, JSON")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg, err := readConfig(*file)
	if err != nil {
		return err
	}
	if err := awaitNetwork(); err != nil {
		return err
	}
	if err := podnet.SetUpNode(len(cfg.IPs) > 1 || strings.Contains(cfg.IPs[0], ":")); err != nil {
		return err
	}
	return serve(ctx, cfg)
}

// awaitNetwork blocks until the supervisor has plugged the node in.
func awaitNetwork() error {
	pipe := os.NewFile(fdGo, "go")
	defer pipe.Close()
	if n, err := pipe.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("the supervisor gave up before this node had a network: %w", err)
	}
	return nil
}

// serve runs the node until ctx ends or a part of it fails.
func serve(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clients, err := connect(cfg.Kubeconfig)
	if err != nil {
		return err
	}
	recorder, stopEvents := newRecorder(clients.api, cfg.Name)
	defer stopEvents()
	agent, err := dataplane.New(dataplane.Config{NodeName: cfg.Name, NodeIPs: cfg.IPs, PodCIDRs: cfg.PodCIDRs,
		Client: clients.api, Mode: dataplane.Mode(cfg.Dataplane), Recorder: recorder})
	if err != nil {
		return err
	}
	runtime, err := cri.New(cri.Config{Dir: filepath.Join(cfg.RootDir, "runtime"), PodCIDRs: cfg.PodCIDRs,
		Images: cfg.Images, Unpacked: cfg.Unpacked, Network: network{agent}, Init: layout.Labd, Log: slog.Default()})
	if err != nil {
		return err
	}
	if err := register(ctx, clients.api, cfg); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := agent.Run(ctx); err != nil {
			cancel(fmt.Errorf("data plane: %w", err))
		}
	})
	if err := startKubelet(ctx, cfg, clients, runtime, recorder); err != nil {
		return err
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func newRecorder(client kubernetes.Interface, node string) (record.EventRecorderLogger, func()) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return broadcaster.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: node}), broadcaster.Shutdown
}

// network lets the runtime speak to the data plane.
type network struct{ agent *dataplane.Agent }

func (n network) AddPod(ctx context.Context, p cri.Pod, addrs ...netip.Addr) error {
	return n.agent.AddPod(ctx, dataplane.PodRef(p), addrs...)
}

func (n network) RemovePod(p cri.Pod) { n.agent.RemovePod(dataplane.PodRef(p)) }
