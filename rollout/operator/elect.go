package operator

import (
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// leaseName is the Lease in Tightrope's namespace whose holder acts.
const leaseName = "tightrope-controller"

// The times of the Lease, as Kubernetes' own components have them. A holder that
// cannot renew stops five seconds before anybody else may act.
const (
	leaseDuration = 15 * time.Second // for others to wait after the last renewal they saw
	renewDeadline = 10 * time.Second // for the holder to renew before its process ends
	retryPeriod   = 2 * time.Second
)

// stopWithin is less than the grace that the Deployment gives the controller, so
// that the Lease is released before the kubelet kills it.
const stopWithin = 3 * time.Second

// Elect makes a manager act only while it holds the operator's Lease, so that
// two operators never act at once. The holder releases it when it is told to stop.
//
// identity names the holder; it is that of the pod (name and UID). A container
// that is killed and started again in the same pod is the same holder and goes on
// at once: the kubelet starts one only after the other has ended. Empty: every
// process is a holder of its own, and waits for the Lease of a dead one to expire.
func Elect(o *manager.Options, cfg *rest.Config, identity string) error {
	o.LeaderElection, o.LeaderElectionReleaseOnCancel = true, true
	o.LeaderElectionNamespace, o.LeaderElectionID = v1alpha1.SystemNamespace, leaseName
	o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = ptr.To(leaseDuration), ptr.To(renewDeadline), ptr.To(retryPeriod)
	o.GracefulShutdownTimeout = ptr.To(stopWithin)
	if identity == "" {
		return nil
	}
	// Its own client gives up on a request after half the deadline: one slow answer loses no Lease.
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.LeaderElectionNamespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: identity}, rest.AddUserAgent(cfg, "leader-election"), renewDeadline)
	if err != nil {
		return fmt.Errorf("lease %s/%s: %w", o.LeaderElectionNamespace, leaseName, err)
	}
	o.LeaderElectionResourceLockInterface = lock
	return nil
}
