package operator

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// contender is a manager that wants the Lease.
type contender struct {
	acts chan struct{} // closed when it may act
	stop func()        // tells it to stop and waits
}

func contend(t *testing.T, c *cluster, identity string) contender {
	t.Helper()
	o := manager.Options{Scheme: testScheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"}
	if err := Elect(&o, c.config, identity); err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(c.config, o)
	if err != nil {
		t.Fatal(err)
	}
	out := contender{acts: make(chan struct{})}
	err = mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { // such runnables need the Lease, as controllers do
		close(out.acts)
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	out.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("manager %s: %v", identity, err)
		}
	}
	t.Cleanup(out.stop)
	return out
}

func (c contender) actsWithin(d time.Duration) bool {
	select {
	case <-c.acts:
		return true
	case <-time.After(d):
		return false
	}
}

// soon is long for one that may act, and several tries for one that may not.
const soon = 3 * retryPeriod

func TestTwoOperatorsNeverActAtOnce(t *testing.T) {
	t.Parallel()
	c := up(t)
	first := contend(t, c, "pod-1/a")
	if !first.actsWithin(soon) {
		t.Fatal("nobody holds the Lease, and the first operator does not act")
	}
	second := contend(t, c, "pod-2/b")
	if second.actsWithin(soon) {
		t.Fatal("the second operator acts beside the first")
	}
	first.stop()
	if !second.actsWithin(soon) {
		t.Error("the first operator was told to stop and did not release the Lease")
	}
	second.stop()

	// The holder was killed a moment ago and released nothing.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: leaseName}}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
		t.Fatal(err)
	}
	now := metav1.NowMicro()
	lease.Spec.HolderIdentity, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds = ptr.To("pod-3/c"), &now, ptr.To(int32(leaseDuration/time.Second))
	if err := c.client.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if contend(t, c, "pod-3/another incarnation").actsWithin(soon) {
		t.Error("an operator in another pod does not wait until the Lease of the killed one expires")
	}
	if !contend(t, c, "pod-3/c").actsWithin(soon) {
		t.Error("the container was started again in its pod, and waits for its own Lease to expire")
	}
}
