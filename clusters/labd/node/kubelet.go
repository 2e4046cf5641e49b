package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/kubelet/config"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume/util/subpath"

	"github.com/tightrope-dev/tightrope/clusters/labd/cri"
	"github.com/tightrope-dev/tightrope/clusters/labd/mounts"
)

// gates: the kubelet then forgives what a user namespace does not allow (kernel
// settings, the kernel's log), and it looks at a pod when the runtime has news.
var gates = map[string]bool{"KubeletInUserNamespace": true, "EventedPLEG": true}

// startKubelet returns when the kubelet runs; it ends with ctx or the process.
func startKubelet(ctx context.Context, cfg Config, c clients, runtime *cri.Runtime, recorder record.EventRecorderLogger) error {
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gates); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	server, err := kubeletServer(cfg, c.ca)
	if err != nil {
		return err
	}
	deps, err := dependencies(ctx, cfg, server, c, runtime, recorder)
	if err != nil {
		return err
	}
	if err := app.RunKubelet(ctx, server, deps); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	return nil
}

// dependencies leaves ProbeManager nil: the kubelet then makes its real one.
func dependencies(ctx context.Context, cfg Config, server *options.KubeletServer, c clients, runtime *cri.Runtime, recorder record.EventRecorderLogger) (*kubelet.Dependencies, error) {
	auth, reload, err := app.BuildAuth(types.NodeName(cfg.Name), c.api, server.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("kubelet authentication: %w", err)
	}
	reload(ctx.Done())
	tls, err := app.InitializeTLS(ctx, &server.KubeletFlags, &server.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("kubelet certificate: %w", err)
	}
	mounter := mounts.New()
	tracker := kubeletutil.NewPodStartupLatencyTracker()
	return &kubelet.Dependencies{
		PodConfig: podSource(ctx, cfg, c, recorder, tracker),
		Auth:      auth, TLSOptions: tls,
		KubeClient: c.api, HeartbeatClient: c.heartbeat, EventClient: c.api.CoreV1(),
		CAdvisorInterface: machine{cfg.Name}, ContainerManager: noCgroups{cm.NewStubContainerManager()},
		RemoteRuntimeService: runtime, RemoteImageService: runtime.Images(),
		Mounter: mounter, Subpather: subpath.New(mounter), HostUtil: newHostUtil(),
		OOMAdjuster: oom.NewFakeOOMAdjuster(), OSInterface: kubecontainer.RealOS{},
		VolumePlugins: volumePlugins(), Recorder: recorder, TracerProvider: noop.NewTracerProvider(),
		PodStartupLatencyTracker:  tracker,
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.Background()),
	}, nil
}

// podSource watches this node's pods at once. The kubelet's own source sleeps for
// a second until it has seen the Node; register made that before we came here.
func podSource(ctx context.Context, cfg Config, c clients, recorder record.EventRecorderLogger, tracker kubeletutil.PodStartupLatencyTracker) *config.PodConfig {
	source := config.NewPodConfig(recorder, tracker)
	registered := func() bool { return true }
	config.NewSourceApiserver(klog.FromContext(ctx), c.api, types.NodeName(cfg.Name), registered, source.Channel(ctx, kubetypes.ApiserverSource))
	return source
}

// kubeletServer is the kubelet's configuration: its defaults, and what differs.
func kubeletServer(cfg Config, ca []byte) (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = cfg.RootDir
	flags.CertDirectory = filepath.Join(cfg.RootDir, "pki")
	flags.HostnameOverride, flags.NodeIP = cfg.Name, strings.Join(cfg.IPs, ",")
	flags.NodeLabels = labels(cfg)
	flags.MaxPerPodContainerCount = 2 // the previous container's log stays readable
	kc, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("kubelet configuration: %w", err)
	}
	if err := os.MkdirAll(flags.CertDirectory, 0o700); err != nil {
		return nil, fmt.Errorf("kubelet directory: %w", err)
	}
	caFile := filepath.Join(flags.CertDirectory, "client-ca.crt")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		return nil, fmt.Errorf("kubelet client authority: %w", err)
	}
	kc.Authentication.Anonymous.Enabled = false
	kc.Authentication.X509.ClientCAFile = caFile
	configure(kc, cfg)
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		kc.MaxOpenFiles = int64(files.Max) // more is for root of the machine only
	}
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *kc}, nil
}

func configure(kc *kubeletconfig.KubeletConfiguration, cfg Config) {
	kc.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeAlwaysAllow // its clients are the control plane's
	kc.Address, kc.Port, kc.ReadOnlyPort = cfg.IPs[0], 10250, 0
	kc.EnableServer, kc.EnableDebuggingHandlers = true, true
	kc.PodLogsDir = filepath.Join(cfg.RootDir, "logs")
	kc.RegisterNode = true
	kc.MaxPods = maxPods
	kc.ClusterDomain = "cluster.local"
	kc.ClusterDNS = []string{cfg.ClusterDNS}
	kc.ResolverConfig = "" // the lab has no outside to resolve names of

	// There are no cgroups, no disk to fill but memory, nothing to evict for.
	kc.CgroupsPerQOS, kc.CgroupRoot, kc.EnforceNodeAllocatable = false, "", nil
	kc.EvictionHard, kc.LocalStorageCapacityIsolation = nil, false
	kc.ImageGCHighThresholdPercent, kc.ImageGCLowThresholdPercent = 100, 99
	kc.MakeIPTablesUtilChains, kc.ProtectKernelDefaults = false, false
	kc.EnableControllerAttachDetach = false
	kc.FailCgroupV1 = false
	kc.ContainerLogMaxSize, kc.ContainerLogMaxFiles = "8Mi", 2

	// Speed: news reach pods when they happen, and nothing is rationed.
	kc.ConfigMapAndSecretChangeDetectionStrategy = kubeletconfig.WatchChangeDetectionStrategy
	kc.SyncFrequency.Duration = 10 * time.Second
	kc.NodeStatusUpdateFrequency.Duration = 5 * time.Second
	kc.SerializeImagePulls = false
	kc.RegistryPullQPS, kc.EventRecordQPS = 0, 0
	kc.ImagePullCredentialsVerificationPolicy = string(kubeletconfig.NeverVerify)
}
