package operator

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
)

// patience is how long a story may hang, and says nothing of how fast anything is: one of
// a run takes seconds on a quiet machine, and one of two runs, or of fifty pods, up to
// three minutes among others under the race detector.
const patience = 6 * time.Minute

// atOnce is how many stories run side by side. They wait more than they work, but under
// the race detector ten of them want more than two cores have.
const atOnce = "6"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == kubeletsCommand {
		os.Exit(serveKubelets())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && !setByHand("test.parallel") {
		_ = f.Value.Set(atOnce)
	}
	ctrl.SetLogger(logr.Discard())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if err := theCluster.down(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func setByHand(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// cluster is a real API server with its controllers and no nodes; the test plays
// the kubelets and the data plane.
type cluster struct {
	once   sync.Once
	err    error
	dir    string
	lab    *lab.Lab
	config *rest.Config
	client client.WithWatch
	plane  *plane
	stop   context.CancelFunc
	count  int
	mu     sync.Mutex
}

var theCluster cluster

// up returns the cluster that all stories share. It fails where no lab can be: a
// suite that skipped by itself would prove nothing.
func up(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so there is no API server to test the operator against")
	}
	theCluster.once.Do(func() { theCluster.err = theCluster.start() })
	if theCluster.err != nil {
		t.Fatalf("no API server to test the operator against: %v; run `make build`, or set TIGHTROPE_SKIP_LAB=1 to run the other tests", theCluster.err)
	}
	return &theCluster
}

func (c *cluster) start() error {
	bin := os.Getenv("TIGHTROPE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	labd, err := filepath.Abs(filepath.Join(bin, "labd"))
	if err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp("", "op-"); err != nil { // a lab of its own folder, with a short name
		return err
	}
	for k, v := range map[string]string{"TMPDIR": c.dir, "XDG_RUNTIME_DIR": ""} {
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if c.lab, err = lab.Up(ctx, lab.Options{Name: "op", Labd: labd}); err != nil {
		return err
	}
	return c.install(ctx)
}

func (c *cluster) install(ctx context.Context) (err error) {
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.lab.Kubeconfig()); err != nil {
		return err
	}
	c.config.QPS = -1
	scheme := testScheme()
	if c.client, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	crds, err := deploy.CRDs(deploy.Options{})
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.client.Create(ctx, crd); err != nil {
			return fmt.Errorf("CRD %s: %w", crd.GetName(), err)
		}
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SystemNamespace}}
	if err := c.client.Create(ctx, system); err != nil {
		return err
	}
	for served := false; !served; {
		err := c.client.List(ctx, &v1alpha1.PolicyRolloutRunList{})
		if served = err == nil; !served && ctx.Err() != nil {
			return fmt.Errorf("the CRDs are not served: %w", err)
		}
	}
	kube, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.plane, err = newPlane(background, kube, theNodes, kubeletAddress{})
	return err
}

func testScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the same as the controller's; it always adds
		}
	}
	return scheme
}

// name returns a name that no story had before.
func (c *cluster) name(prefix string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	return fmt.Sprintf("%s%d", prefix, c.count)
}

func (c *cluster) down() error {
	if c.stop != nil {
		c.stop()
		c.plane.wait()
	}
	var err error
	if c.lab != nil {
		ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
		defer stop()
		err = c.lab.Down(ctx)
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}
