package operator

import (
	"context"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Options of the operator. The zero value works in the lab, for rollouts that name a
// service account.
type Options struct {
	SingleTenant bool           // rollouts may name no account, and the operator then writes as itself
	Pods         pods.Options   // how probe pods look
	Logs         pods.LogReader // of probe pods; nil: through the API server
	Drops        DropReader     // of the data plane; nil: it cannot tell
	ResolvConf   string         // content of the controller's own, for the cluster's domain; empty: not known
}

// Setup registers the operator's reconcilers. ctx ends what they keep running
// between passes. ConfigMaps are read from the API server, so that no cache
// holds everybody's.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	cached, err := client.New(mgr.GetConfig(), client.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		Cache: &client.CacheOptions{Reader: mgr.GetCache(), DisableFor: []client.Object{&corev1.ConfigMap{}}},
	})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	// A connection of their own: sixty streams must not queue before a rollback.
	// client-go shares one among equal configs, and a dialer makes them unequal.
	own := rest.CopyConfig(mgr.GetConfig())
	own.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	given := o.Logs
	if given == nil {
		logs, err := kubernetes.NewForConfig(own)
		if err != nil {
			return fmt.Errorf("log client: %w", err)
		}
		o.Logs = pods.Logs{Client: logs}
	}
	others, err := newOtherKinds(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	write := writer.New(cached, writer.Options{})
	restoring, err := lanes(mgr)
	if err != nil {
		return err
	}
	deciding, err := lanes(mgr)
	if err != nil {
		return err
	}
	runs := &RunReconciler{
		Reader: cached, Write: write, Restoring: restoring, Deciding: deciding, Others: others, Live: mgr.GetAPIReader(), Logs: o.Logs, Drops: o.Drops, As: accounts{mgr, own, given}.hands, SingleTenant: o.SingleTenant,
		Events: mgr.GetEventRecorder("tightrope"), Pods: o.Pods,
		ClusterDomain: clusterDomain(o.ResolvConf),
	}
	if err := runs.SetupWithManager(ctx, mgr); err != nil {
		return err
	}
	return (&RolloutReconciler{Write: write, Live: mgr.GetAPIReader(), Events: runs.Events}).SetupWithManager(mgr)
}

// lanes is a link to the API server over connections that carry nothing else, warm for
// as long as the manager runs.
func lanes(mgr ctrl.Manager) (writer.Link, error) {
	own, err := writer.NewLanes(mgr.GetConfig())
	if err != nil {
		return writer.Link{}, err
	}
	if err := mgr.Add(own); err != nil {
		return writer.Link{}, err
	}
	return own.Link(client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()}, writer.Options{})
}

// accounts gives the operator the hands of service accounts.
type accounts struct {
	mgr   ctrl.Manager
	own   *rest.Config   // for logs
	given pods.LogReader // reads every log; nil: each account reads those of its pods
}

func (a accounts) hands(account types.NamespacedName) (*writer.Writer, pods.LogReader, error) {
	write, err := writer.As(a.mgr.GetConfig(), account, client.Options{Scheme: a.mgr.GetScheme(), Mapper: a.mgr.GetRESTMapper()}, writer.Options{})
	if err != nil || a.given != nil {
		return write, a.given, err
	}
	cfg, err := writer.Impersonate(a.own, account)
	if err != nil {
		return nil, nil, err
	}
	logs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("log client of service account %s: %w", account, err)
	}
	return write, pods.Logs{Client: logs}, nil
}
