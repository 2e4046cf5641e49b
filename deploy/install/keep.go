package install

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// labRuntime begins what nodes of the lab report as their container runtime.
const labRuntime = "lab://"

// installedAs are the options with which the controller that is there was installed.
func installedAs(ctx context.Context, c client.Reader) (deploy.Options, error) {
	var d appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: v1alpha1.SystemNamespace, Name: controllerName}, &d); err != nil {
		return deploy.Options{}, fmt.Errorf("look how Tightrope is installed: %w", err)
	}
	return deploy.Installed(&d), nil
}

// keep makes the installation be as the one that is there, where nothing else was
// asked for.
func (i *installer) keep(ctx context.Context) error {
	was, err := installedAs(ctx, i.c)
	if err != nil {
		return err
	}
	i.keepPods(was)
	i.keepTenancy(was)
	if err := i.keepImages(was); err != nil {
		return err
	}
	if err := i.served(ctx); err != nil {
		return err
	}
	return i.render()
}

// begin names the images where nothing is installed.
func (i *installer) begin(ctx context.Context) error {
	if err := i.nameImages(i.Registry); err != nil {
		return err
	}
	if err := i.served(ctx); err != nil {
		return err
	}
	return i.render()
}

// keepPods keeps how pods are made, the controller's and those with probes. What is empty
// and not nil was asked for.
func (i *installer) keepPods(was deploy.Options) {
	o := &i.Deploy
	if o.PullSecrets == nil {
		o.PullSecrets = was.PullSecrets
	}
	if o.ProbePullSecrets == nil {
		o.ProbePullSecrets = was.ProbePullSecrets
	}
	if o.ProbeNodeSelector == nil {
		o.ProbeNodeSelector = was.ProbeNodeSelector
	}
	if o.ProbeTolerations == nil {
		o.ProbeTolerations = was.ProbeTolerations
	}
	o.DropsPort, o.Memory = cmp.Or(o.DropsPort, was.DropsPort), cmp.Or(o.Memory, was.Memory)
}

// keepTenancy keeps whom the installation is for: tenants that are added are added to
// those that administrators have made.
func (i *installer) keepTenancy(was deploy.Options) {
	switch {
	case i.Deploy.SingleTenant || i.Apart:
	case was.SingleTenant:
		i.Deploy.SingleTenant = len(i.Deploy.Tenants) == 0
	default:
		all := slices.Concat(i.Deploy.Tenants, was.Tenants)
		slices.Sort(all)
		i.Deploy.Tenants = slices.Compact(all)
	}
}

// keepImages names this program's images in the registry of those that are there. The
// same version needs no other images than it has.
func (i *installer) keepImages(was deploy.Options) error {
	if i.Deploy.Controller != "" {
		return nil
	}
	registry, same := was.Registry(), was.Version == i.Deploy.Version
	if registry == "" && (!same || was.Controller == deploy.LabController) {
		return i.nameImages(i.Registry)
	}
	if registry != "" && i.Images != nil {
		err := i.nameImages(registry)
		if err == nil || !same {
			return err
		}
	} else if !same {
		return fmt.Errorf("%w: those that are there are in %s, and this program does not know its own in a registry; give it --registry REGISTRY/PREFIX", ErrImages, registry)
	}
	i.Deploy.Controller, i.Deploy.Agent, i.Deploy.Twin = was.Controller, was.Agent, was.Twin
	return nil
}

// nameImages names this program's images in a registry; the lab's names where it is empty.
func (i *installer) nameImages(registry string) error {
	if i.Deploy.Controller != "" || registry == "" || i.Images == nil {
		return nil
	}
	names, err := i.Images(registry)
	if err != nil {
		return fmt.Errorf("%w: in registry %s: %w", ErrImages, registry, err)
	}
	i.Deploy.Controller, i.Deploy.Agent, i.Deploy.Twin = names["controller"], names["agent"], names["twin"]
	return nil
}

// served refuses names of images that only the lab has, on any other cluster: its nodes
// would try to pull them until the time is up.
func (i *installer) served(ctx context.Context) error {
	if i.Deploy.Controller != "" && i.Deploy.Controller != deploy.LabController {
		return nil
	}
	var nodes corev1.NodeList
	err := i.c.List(ctx, &nodes)
	if err != nil && !apierrors.IsForbidden(err) {
		return fmt.Errorf("look whether the cluster is a lab: %w", err)
	}
	if slices.ContainsFunc(nodes.Items, func(n corev1.Node) bool {
		return strings.HasPrefix(n.Status.NodeInfo.ContainerRuntimeVersion, labRuntime)
	}) {
		return nil
	}
	return fmt.Errorf("%w: it is not told in which registry they are: push them to one that the nodes pull from (tightrope images push --to REGISTRY/PREFIX), and add --registry REGISTRY/PREFIX", ErrImages)
}
