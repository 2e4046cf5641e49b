package install

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/deploy"
)

// minorOf asks a cluster for the minor version of its Kubernetes.
func minorOf(cfg *rest.Config) (int, error) {
	c, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return 0, fmt.Errorf("reach the cluster: %w", err)
	}
	v, err := c.ServerVersion()
	if err != nil {
		return 0, fmt.Errorf("ask the cluster for its version: %w", err)
	}
	return minor(v)
}

// minor reads what a server says of itself; some append a plus.
func minor(v *version.Info) (int, error) {
	n, err := strconv.Atoi(strings.TrimRight(v.Minor, "+"))
	if err != nil || v.Major != "1" || n <= 0 {
		return 0, fmt.Errorf("the cluster says it is Kubernetes %q.%q, which is no version that this one knows", v.Major, v.Minor)
	}
	return n, nil
}

// SingleTenant reports whether the installed controller lets rollouts name no account.
func SingleTenant(ctx context.Context, cfg *rest.Config) (bool, error) {
	c, err := newClient(cfg)
	if err != nil {
		return false, err
	}
	was, err := installedAs(ctx, c)
	return was.SingleTenant, err
}

// tenantsExist refuses namespaces that are not there: an account cannot be put there,
// and a name that is misspelt may become somebody else's.
func (i *installer) tenantsExist(ctx context.Context) error {
	for _, name := range i.Deploy.Tenants {
		var ns corev1.Namespace
		err := i.c.Get(ctx, client.ObjectKey{Name: name}, &ns)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%w: there is no namespace %s: create it first", deploy.ErrTenancy, name)
		} else if err != nil {
			return fmt.Errorf("look for namespace %s: %w", name, err)
		}
	}
	return nil
}

// tellTenancy says who may make rollouts now, and what of.
func (i *installer) tellTenancy() {
	switch {
	case i.Deploy.SingleTenant:
		i.say("single-tenant: whoever may create a PolicyRollout, in any namespace, changes policies and runs probe pods in all of them; give role tightrope-operator to cluster administrators only")
	case len(i.Deploy.Tenants) == 0:
		i.say("no namespace has an account for rollouts: tightrope upgrade --tenant NAMESPACE makes one; where cluster administrators alone make rollouts, tightrope upgrade --single-tenant does without")
	}
	for _, ns := range i.Deploy.Tenants {
		i.say("tenant %s: rollouts there name spec.serviceAccountName: %s; another namespace lets them in with: kubectl -n NAMESPACE create rolebinding %s --clusterrole=tightrope-target --serviceaccount=%s:%s",
			ns, deploy.TenantAccount, "tightrope-"+ns, ns, deploy.TenantAccount)
	}
}
