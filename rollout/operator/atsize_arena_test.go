package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
)

const (
	// arenaSpace is the namespace of the kubelets.
	arenaSpace = "arena"
	// podsOfSpace is how many pods a namespace of the crowd has.
	podsOfSpace = 50
	// fillers are the requests that fill the cluster at a time.
	fillers = 8
)

// arena is a real API server, nodes and agents that are played, and the controller as
// it is shipped.
type arena struct {
	t          *testing.T
	ctx        context.Context
	bin        string
	kubeconfig string
	kube       kubernetes.Interface
	client     client.WithWatch
	controller *exec.Cmd
	log        string // file with what the controller says
	metrics    string // address of the controller's
	observing  []string
	cutting    int
}

func newArena(t *testing.T) *arena {
	t.Helper()
	bin := os.Getenv("TIGHTROPE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	bin, err := filepath.Abs(bin)
	self, err1 := os.Executable()
	short, err2 := os.MkdirTemp("", "at-") // a lab's folder needs a short name
	for _, err := range []error{err, err1, err2} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	t.Setenv("TMPDIR", short)
	t.Setenv("XDG_RUNTIME_DIR", "")
	a := &arena{t: t, ctx: t.Context(), bin: bin, log: filepath.Join(short, "controller.log")}
	l, err := lab.Up(a.ctx, lab.Options{Name: "at-size", Nodes: 1, Labd: filepath.Join(bin, "labd"), Dataplane: "ignore",
		Images: map[string]string{"kubelets": self + " " + kubeletsCommand}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	cfg, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	a.kubeconfig = l.Kubeconfig()
	if a.kube, err = kubernetes.NewForConfig(cfg); err == nil {
		a.client, err = client.NewWithWatch(cfg, client.Options{Scheme: testScheme()})
	}
	if err != nil {
		t.Fatal(err)
	}
	a.install()
	return a
}

// install makes what a rollout needs, and starts the kubelets.
func (a *arena) install() {
	a.t.Helper()
	crds, err := deploy.CRDs(deploy.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, crd := range crds {
		a.must(a.client.Create(a.ctx, crd))
	}
	for _, ns := range []string{v1alpha1.SystemNamespace, arenaSpace} {
		a.must(a.space(a.ctx, ns))
	}
	a.must(a.client.Create(a.ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "arena"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: arenaSpace, Name: "default"}}}))
	a.must(a.client.Create(a.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: arenaSpace, Name: "kubelets"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "kubelets"}}}}))
	a.until("the kubelets' pod", func() bool {
		var pod corev1.Pod
		err := a.client.Get(a.ctx, client.ObjectKey{Namespace: arenaSpace, Name: "kubelets"}, &pod)
		return err == nil && pod.Status.Phase == corev1.PodRunning
	})
	var nodes corev1.NodeList
	a.must(a.client.List(a.ctx, &nodes))
	for _, node := range nodes.Items {
		if !strings.HasPrefix(node.Name, "crowd-") { // pods that are played are none of the lab's
			node.Spec.Unschedulable = true
			a.must(a.client.Update(a.ctx, &node))
		}
	}
	a.until("the kubelets", func() bool {
		_, err := a.kube.CoreV1().RESTClient().Get().AbsPath(fmt.Sprintf("/api/v1/namespaces/%s/pods/kubelets:%d/proxy/figures", arenaSpace, kubeletFigures)).DoRaw(a.ctx)
		return err == nil
	})
}

func (a *arena) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// until asks ten times a second.
func (a *arena) until(what string, is func() bool) {
	a.t.Helper()
	for end := time.Now().Add(patience); !is(); a.rest(100 * time.Millisecond) {
		if time.Now().After(end) {
			a.t.Fatalf("%s did not come within %v", what, patience)
		}
	}
}

func (a *arena) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}

// await waits until so many runs are as wanted. It asks the more seldom the more there
// are: each time, the API server sends them all.
func (a *arena) await(n int, is func(*v1alpha1.PolicyRolloutRun) bool) {
	a.t.Helper()
	last, since := -1, time.Now()
	for {
		var runs v1alpha1.PolicyRolloutRunList
		a.must(a.client.List(a.ctx, &runs))
		got, phases := 0, map[v1alpha1.Phase]int{}
		for i := range runs.Items {
			phases[runs.Items[i].Status.Phase]++
			if is(&runs.Items[i]) {
				got++
			}
		}
		switch {
		case got >= n:
			return
		case got > last:
			last, since = got, time.Now()
		case time.Since(since) > 2*patience:
			a.t.Fatalf("%d of %d runs are as wanted, and none more within %v; phases %v; the controller's log: %s", got, n, 2*patience, phases, a.tail())
		}
		a.rest(500*time.Millisecond + time.Duration(len(runs.Items))*5*time.Millisecond)
	}
}

// tail is the end of what the controller said.
func (a *arena) tail() string {
	raw, _ := os.ReadFile(a.log) // nothing: it said nothing
	return string(raw[max(0, len(raw)-2000):])
}

// start starts the controller.
func (a *arena) start() {
	a.t.Helper()
	log, err := os.Create(a.log)
	a.must(err)
	a.metrics, err = freeAddress()
	a.must(err)
	args := []string{"--single-tenant", "--metrics-address", a.metrics, "--health-address", "127.0.0.1:0"}
	if at := os.Getenv("TIGHTROPE_BENCH_PPROF"); at != "" {
		args = append(args, "--pprof-address", at)
	}
	c := exec.Command(filepath.Join(a.bin, "controller"), args...)
	c.Env, c.Stderr = append(os.Environ(), "KUBECONFIG="+a.kubeconfig, fmt.Sprintf("MEMORY_LIMIT=%d", 512<<20)), log // as the Deployment has it
	a.must(c.Start())
	a.controller = c
	a.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = log.Close()
	})
}

// each does n things, some at a time.
func (a *arena) each(n int, do func(ctx context.Context, i int) error) {
	a.t.Helper()
	next, failed := make(chan int), make(chan error, fillers)
	var all sync.WaitGroup
	for range fillers {
		all.Go(func() {
			for i := range next {
				if err := do(a.ctx, i); err != nil {
					select {
					case failed <- err:
					default: // one is enough
					}
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	select {
	case err := <-failed:
		a.t.Fatal(err)
	default:
	}
}

// space makes a namespace and waits for its service account.
func (a *arena) space(ctx context.Context, name string) error {
	if err := a.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := a.client.Get(ctx, client.ObjectKey{Namespace: name, Name: "default"}, &corev1.ServiceAccount{}); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

func (a *arena) pod(ctx context.Context, ns, name string, node int, labels map[string]string) error {
	return a.client.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels},
		Spec: corev1.PodSpec{NodeName: crowdNode(node), Containers: []corev1.Container{{Name: "c", Image: "none"}}}})
}

// fill makes pods and policies that no rollout is about.
func (a *arena) fill(pods, policies int) {
	a.t.Helper()
	began, spaces := time.Now(), pods/podsOfSpace
	a.each(spaces, func(ctx context.Context, i int) error {
		ns := fmt.Sprintf("crowd-%d", i)
		if err := a.space(ctx, ns); err != nil {
			return err
		}
		for n := range podsOfSpace {
			if err := a.pod(ctx, ns, fmt.Sprintf("pod-%d", n), i, map[string]string{"app": fmt.Sprintf("app-%d", n%10)}); err != nil {
				return err
			}
		}
		for n := range policies / spaces {
			np := (&story{ns: ns}).policy(fmt.Sprintf("policy-%d", n), map[string]string{"app": fmt.Sprintf("app-%d", n)}, networkingv1.PolicyTypeIngress, fmt.Sprintf("app-%d", n+1), 8080)
			if err := a.client.Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: np.Name}, Spec: np.Spec}); err != nil {
				return err
			}
		}
		return nil
	})
	a.t.Logf("%d pods and %d policies after %v", pods, policies, time.Since(began).Round(time.Second))
}

// begin makes a namespace with a client, two servers behind a Service, and a rollout
// that observes for an hour, or one that cuts the client off.
func (a *arena) begin(ctx context.Context, ns string, cut bool) error {
	if err := a.space(ctx, ns); err != nil {
		return err
	}
	s := &story{ns: ns}
	node := len(ns) + int(ns[len(ns)-1])
	slice := &discoveryv1.EndpointSlice{ObjectMeta: s.meta("server-x"), AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: "server"}
	for _, name := range []string{"client", "other", "server-0", "server-1"} {
		app, _, _ := strings.Cut(name, "-")
		if err := a.pod(ctx, ns, name, node, map[string]string{"app": app, "pod": name}); err != nil {
			return err
		}
		for app == "server" {
			var pod corev1.Pod
			if err := a.client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, &pod); err != nil {
				return err
			}
			if ip := pod.Status.PodIP; ip != "" {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: name}})
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	ro := s.rollout(s.good())
	ro.Spec.Analysis = v1alpha1.Analysis{}
	ro.Spec.Stages[0].MinDuration = metav1.Duration{Duration: time.Hour}
	if cut {
		ro.Spec.Policies.Inline[0] = s.policy("client-egress", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 9999)
		ro.Spec.Exceptions = s.accepting(nil).Spec.Exceptions
		ro.Spec.Stages[0].MinDuration = metav1.Duration{Duration: time.Second}
	}
	names := networkingv1.NetworkPolicyPort{Protocol: ptr.To(corev1.ProtocolUDP), Port: ptr.To(intstr.FromInt32(53))}
	egress := &ro.Spec.Policies.Inline[0].Spec
	egress.Egress = append(egress.Egress, networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{names}})
	for _, o := range []client.Object{
		&corev1.Service{ObjectMeta: s.meta("server"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}}},
		slice, s.suite(), ro,
	} {
		if err := a.client.Create(ctx, o); err != nil {
			return fmt.Errorf("%T %s/%s: %w", o, ns, o.GetName(), err)
		}
	}
	return nil
}
