// Package existing hosts a rollout on a cluster that somebody else runs: the
// one a kubeconfig points at.
package existing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// reachWithin bounds how long a cluster may take to answer at all.
const reachWithin = 10 * time.Second

// ErrNoKubeconfig is that no file names a cluster, where none was asked for by name.
var ErrNoKubeconfig = errors.New("no kubeconfig names a cluster")

// Connect reads a kubeconfig (empty: $KUBECONFIG, then the user's own) and asks
// the cluster for its version. The error names the file, the address and what
// went wrong.
func Connect(ctx context.Context, kubeconfig string) (*rest.Config, string, error) {
	return ConnectAs(ctx, kubeconfig, "")
}

// ConnectAs is Connect with a context of the kubeconfig; empty: its current one.
func ConnectAs(ctx context.Context, kubeconfig, named string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: named})
	raw, err := loader.RawConfig()
	raw.CurrentContext = cmp.Or(named, raw.CurrentContext)
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w; name another with --kubeconfig", cmp.Or(kubeconfig, "of $KUBECONFIG"), err)
	}
	cfg, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		files := strings.Join(rules.GetLoadingPrecedence(), ", ")
		return nil, "", fmt.Errorf("%w (read: %s): name one that does with --kubeconfig", ErrNoKubeconfig, files)
	}
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig has no usable context %q: %w; choose one with kubectl config use-context", raw.CurrentContext, err)
	}
	cfg.QPS = -1
	if err := answers(ctx, cfg); err != nil {
		return nil, "", fmt.Errorf("cluster %q at %s cannot be reached: %w; is it running, and is this its kubeconfig?", raw.CurrentContext, cfg.Host, err)
	}
	return cfg, raw.CurrentContext, nil
}

// Namespace is that of a context of the kubeconfig, as kubectl takes it; the current
// context where none is named. Without a kubeconfig it is default.
func Namespace(kubeconfig, named string) (string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: named})
	namespace, _, err := loader.Namespace()
	if clientcmd.IsEmptyConfig(err) {
		return metav1.NamespaceDefault, nil
	}
	if err != nil {
		return "", fmt.Errorf("kubeconfig %s: %w; name another with --kubeconfig", cmp.Or(kubeconfig, "of $KUBECONFIG"), err)
	}
	return namespace, nil
}

func answers(ctx context.Context, cfg *rest.Config) error {
	brief := rest.CopyConfig(cfg)
	brief.Timeout = reachWithin
	client, err := discovery.NewDiscoveryClientForConfig(brief)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := client.ServerVersion() // bounded by the client's timeout
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
