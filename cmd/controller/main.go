// Command controller drives policy rollouts inside a cluster.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/operator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run exits 0 when asked to stop, 1 when it could not go on, and 4 on bad usage.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet("controller", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var o operator.Options
	fs.StringVar(&o.Pods.AgentImage, "agent-image", "tightrope.dev/agent", "image of the probe pods")
	fs.StringVar(&o.Pods.TwinImage, "twin-image", "tightrope.dev/twin", "image of the twins")
	fs.BoolVar(&o.SingleTenant, "single-tenant", false, "rollouts may name no service account; the controller then writes with its own rights")
	fs.Func("image-pull-secret", "name of a pull secret of every namespace that gets a probe pod; may be given several times", o.Pods.SetPullSecret)
	fs.Func("probe-node-selector", "labels, as key=value,key=value, of the nodes that probe pods may run on", o.Pods.SetNodeSelector)
	fs.Func("probe-toleration", "taint, as key=value:Effect, that probe pods tolerate; may be given several times", o.Pods.SetToleration)
	health := fs.String("health-address", ":8081", "where /healthz and /readyz are served")
	metrics := fs.String("metrics-address", ":8443", "where /metrics is served, by TLS, to whoever has a token and the right to get /metrics; 0 turns it off")
	drops := fs.Int("drops-port", 0, "port of every node's address where its data plane tells what it dropped first; 0: it does not")
	pprof := fs.String("pprof-address", "0", "where /debug/pprof is served, to anybody who reaches it: use an address of the loopback; 0 turns it off")
	verbose := fs.Bool("v", false, "log every pass")
	if err := fs.Parse(args); err != nil {
		return 4
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	if *drops != 0 {
		o.Drops = operator.NodeDrops{Port: *drops}
	}
	limitMemory()
	if err := serve(ctx, o, *health, *metrics, *pprof); err != nil {
		log.Error("controller stopped", "error", err)
		return 1
	}
	return 0
}

// limitMemory keeps the heap below what the container may have, as the Deployment tells
// it in bytes: reading a large cluster leaves garbage for which the kernel would end the
// process. A tenth is for what is no heap. GOMEMLIMIT overrides it.
func limitMemory() {
	limit, err := strconv.ParseInt(os.Getenv("MEMORY_LIMIT"), 10, 64)
	if err == nil && limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit - limit/10)
	}
}

// podIdentity names the controller's pod for good, as the Deployment tells it;
// empty: this is no pod.
func podIdentity() string {
	name, uid := os.Getenv("POD_NAME"), os.Getenv("POD_UID")
	if name == "" || uid == "" {
		return ""
	}
	return name + "/" + uid
}

// metricsOptions serve nobody whose token the API server does not know, and who it says
// may not get /metrics. The certificate is made anew by each process: whoever scrapes
// shows his token to the address of the pod, and does not check who is there.
func metricsOptions(address string) metricsserver.Options {
	return metricsserver.Options{BindAddress: address, SecureServing: true, FilterProvider: func(cfg *rest.Config, c *http.Client) (metricsserver.Filter, error) {
		return filters.WithAuthenticationAndAuthorization(askingConfig(cfg), c)
	}}
}

// askingConfig is the way to the API server for questions about who wants metrics. Anybody
// who reaches the port makes the controller ask one, so these are throttled, and by
// themselves: rollbacks do not queue behind them.
func askingConfig(cfg *rest.Config) *rest.Config {
	asking := rest.CopyConfig(cfg)
	asking.QPS, asking.Burst, asking.RateLimiter = 5, 10, nil
	return asking
}

func serve(ctx context.Context, o operator.Options, health, metrics, pprof string) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	cfg, err := ctrl.GetConfig() // QPS -1: no client-side throttling; a rollback must not queue
	if err != nil {
		return fmt.Errorf("no way to reach a cluster: %w", err)
	}
	options := manager.Options{
		Scheme:                 scheme,
		Metrics:                metricsOptions(metrics),
		HealthProbeBindAddress: health,
		PprofBindAddress:       pprof,
		Cache:                  operator.CacheOptions(),
	}
	if err := operator.Elect(&options, cfg, podIdentity()); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := operator.RegisterMetrics(); err != nil {
		return err
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		slog.Warn("the cluster's DNS domain is not known; probes use search lists", "error", err)
	}
	o.ResolvConf = string(resolv)
	if err := operator.Setup(ctx, mgr, o); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
