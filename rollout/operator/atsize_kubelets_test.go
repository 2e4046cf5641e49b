package operator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const (
	// kubeletsCommand makes the binary of these tests the program of a pod: the
	// kubelets of many nodes, their agents, and an ideal data plane.
	kubeletsCommand = "kubelets"
	// kubeletPort is where it serves logs, and kubeletFigures where it tells what it saw.
	kubeletPort    = 10250
	kubeletFigures = 8080
	// crowdNodes are the nodes that it plays.
	crowdNodes = 20
)

func crowdNode(i int) string { return fmt.Sprintf("crowd-%d", i%crowdNodes) }

// kubelets play every node of the benchmark, in a pod of the lab: the API server
// reaches pods, and nothing outside the lab.
type kubelets struct {
	plane *plane
	lines atomic.Int64 // that agents said
	open  atomic.Int64 // logs that are followed

	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool // by run: agents to tell of changes
	cutAt   map[string]time.Time              // by run: when the first line of a cut went out
	seen    figures
}

// figures are what the kubelets saw so far.
type figures struct {
	Lines     int64            `json:"lines"`
	Open      int64            `json:"open"`
	Writes    map[string]int64 `json:"writes"`    // by resource
	Bytes     map[string]int64 `json:"bytes"`     // of what was written, as etcd stores it
	Reactions []time.Duration  `json:"reactions"` // from the line of a cut to the policy that heals it
}

func serveKubelets() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runKubelets(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubelets:", err)
		return 1
	}
	return 0
}

func runKubelets(ctx context.Context) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	cfg.QPS = -1
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	k := &kubelets{waiting: map[string]map[chan struct{}]bool{}, cutAt: map[string]time.Time{}}
	k.seen.Writes, k.seen.Bytes = map[string]int64{}, map[string]int64{}
	ip, err := ownAddress()
	if err != nil {
		return err
	}
	var nodes []string
	for i := range crowdNodes {
		nodes = append(nodes, crowdNode(i))
	}
	if k.plane, err = newPlane(ctx, kube, nodes, kubeletAddress{ip, kubeletPort}); err != nil {
		return err
	}
	runs, err := client.NewWithWatch(cfg, client.Options{Scheme: testScheme()})
	if err != nil {
		return err
	}
	if err := k.watch(); err != nil {
		return err
	}
	go k.countRuns(ctx, runs)
	return errors.Join(k.serve(ctx, ip), ctx.Err())
}

func ownAddress() (string, error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String(), nil
		}
	}
	return "", errors.Join(errors.New("the pod has no address"), err)
}

// watch counts what is written and tells agents of changes.
func (k *kubelets) watch() error {
	f := k.plane.factory
	var failed []error
	for resource, informer := range map[string]cache.SharedIndexInformer{
		"pods": f.Core().V1().Pods().Informer(), "configmaps": f.Core().V1().ConfigMaps().Informer(),
		"networkpolicies": f.Networking().V1().NetworkPolicies().Informer(),
	} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { k.changed(resource, o) },
			UpdateFunc: func(_, o any) { k.changed(resource, o) },
			DeleteFunc: func(o any) { k.changed("", o) },
		})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (k *kubelets) changed(resource string, o any) {
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	size := 0
	switch o := o.(type) {
	case *corev1.Pod:
		size = o.Size()
	case *corev1.ConfigMap:
		size = o.Size()
	case *networkingv1.NetworkPolicy:
		size = o.Size()
	}
	labels := object.GetLabels()
	k.mu.Lock()
	defer k.mu.Unlock()
	if resource != "" {
		k.seen.Writes[resource]++
		k.seen.Bytes[resource] += int64(size)
	}
	for _, run := range []string{labels[v1alpha1.LabelRun], labels[v1alpha1.LabelEnforced]} {
		for c := range k.waiting[run] {
			select {
			case c <- struct{}{}:
			default: // it looks soon anyway
			}
		}
	}
}

// countRuns counts what is written to rollouts and their runs.
func (k *kubelets) countRuns(ctx context.Context, c client.WithWatch) {
	for ctx.Err() == nil {
		w, err := c.Watch(ctx, &v1alpha1.PolicyRolloutRunList{})
		if err != nil {
			time.Sleep(time.Second) // the CRD may be a moment old
			continue
		}
		for e := range w.ResultChan() {
			raw, _ := json.Marshal(e.Object) // plain data
			k.mu.Lock()
			k.seen.Writes["policyrolloutruns"]++
			k.seen.Bytes["policyrolloutruns"] += int64(len(raw))
			k.mu.Unlock()
		}
	}
}

func (k *kubelets) serve(ctx context.Context, ip string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)}}
	raw, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	logs, told := http.NewServeMux(), http.NewServeMux()
	logs.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.log)
	told.HandleFunc("GET /figures", k.tell)
	servers := []*http.Server{
		{Addr: fmt.Sprintf("%s:%d", ip, kubeletPort), Handler: logs, TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}},
		{Addr: fmt.Sprintf("%s:%d", ip, kubeletFigures), Handler: told},
	}
	failed := make(chan error, len(servers))
	go func() { failed <- servers[0].ListenAndServeTLS("", "") }()
	go func() { failed <- servers[1].ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (k *kubelets) tell(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen.Lines, k.seen.Open = k.lines.Load(), k.open.Load()
	_ = json.NewEncoder(w).Encode(k.seen)
}

// log serves the log of one container, as a kubelet does: what the agent in it says.
func (k *kubelets) log(w http.ResponseWriter, r *http.Request) {
	k.open.Add(1)
	defer k.open.Add(-1)
	name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}
	pod, err := k.plane.pods.Pods(name.Namespace).Get(name.Name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusOK)
	a := &quietAgent{kubelets: k, fakeAgent: fakeAgent{process: newProcess(), plane: k.plane, pod: name, out: flushed{w}}, run: pod.Labels[v1alpha1.LabelRun], boot: time.Now().Format(time.RFC3339Nano)}
	_ = a.serve(r.Context()) // whoever follows follows again
}

// flushed sends each line at once.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(raw []byte) (int, error) {
	n, err := f.ResponseWriter.Write(raw)
	return n, errors.Join(err, http.NewResponseController(f.ResponseWriter).Flush())
}

// hear makes a channel that is told of changes of a run, until stop is called.
func (k *kubelets) hear(run string) (news chan struct{}, stop func()) {
	news = make(chan struct{}, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting[run] == nil {
		k.waiting[run] = map[chan struct{}]bool{}
	}
	k.waiting[run][news] = true
	return news, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.waiting[run], news)
	}
}

// react notes a path of a suite that flips: the first line of a cut of a run, and
// the policy that heals it.
func (k *kubelets) react(run, check string, connected bool) {
	if !strings.HasPrefix(check, "p0/") {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch at, cut := k.cutAt[run]; {
	case !connected && !cut:
		k.cutAt[run] = time.Now()
	case connected && cut && !at.IsZero():
		k.seen.Reactions = append(k.seen.Reactions, time.Since(at))
		k.cutAt[run] = time.Time{}
	}
}
