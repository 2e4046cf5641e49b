package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// fieldManager owns what is applied.
	fieldManager = "tightrope-apply"
	// look is how often what is awaited is looked at.
	look = 200 * time.Millisecond
)

// Options of Apply. The zero value works.
type Options struct {
	Namespace string        // of objects that state none; empty: default
	Within    time.Duration // for everything to be in place; 0 means 3m
	Progress  func(string)  // told what is waited for; nil: nobody is
}

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = corev1.NamespaceDefault
	}
	if o.Within == 0 {
		o.Within = 3 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// first are the kinds that others need, in order.
var first = []string{"Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "ServiceAccount", "Secret", "ConfigMap",
	"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "PersistentVolumeClaim", "Service", "NetworkPolicy"}

// Apply applies the objects and waits until all are in place, as kstatus has it. A
// field that somebody else owns is a conflict, and an error.
func Apply(ctx context.Context, cfg *rest.Config, objects []*unstructured.Unstructured, o Options) error {
	o = o.withDefaults()
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	ctx, stop := context.WithTimeoutCause(ctx, o.Within, fmt.Errorf("not everything was in place after %v", o.Within))
	defer stop()
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	x := &applying{Options: o, c: c}
	for i, u := range objects {
		objects[i] = u.DeepCopy()
		if err := x.apply(ctx, objects[i]); err != nil {
			return err
		}
	}
	return x.await(ctx, objects)
}

func rank(u *unstructured.Unstructured) int {
	if i := slices.Index(first, u.GetKind()); i >= 0 {
		return i
	}
	return len(first)
}

type applying struct {
	Options
	c    client.Client
	told string
}

// apply applies one object. A CRD is waited for: the next object may be of its kind.
func (x *applying) apply(ctx context.Context, u *unstructured.Unstructured) error {
	mapping, err := x.c.RESTMapper().RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w: %s: the cluster has no such kind (%s); add its CRD", ErrInput, title(u), u.GetAPIVersion())
	case err != nil:
		return fmt.Errorf("apply %s: %w", title(u), err)
	case mapping.Scope.Name() == meta.RESTScopeNameRoot:
		u.SetNamespace("")
	case u.GetNamespace() == "":
		u.SetNamespace(x.Namespace)
	}
	err = x.c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner(fieldManager))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %s: %w", ErrInput, title(u), err)
	case err != nil:
		return fmt.Errorf("apply %s: %w", title(u), err)
	case u.GetKind() == "CustomResourceDefinition":
		return x.await(ctx, []*unstructured.Unstructured{u})
	}
	return nil
}

// await waits until all objects are in place.
func (x *applying) await(ctx context.Context, objects []*unstructured.Unstructured) error {
	for {
		waiting, err := x.missing(ctx, objects)
		if err != nil || waiting == "" {
			return err
		}
		if waiting != x.told {
			x.told = waiting
			x.Progress("waiting: " + waiting)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), waiting)
		case <-time.After(look):
		}
	}
}

// missing says which object is not in place, and why; empty: all are.
func (x *applying) missing(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	for _, u := range objects {
		now := u.DeepCopy()
		if err := x.c.Get(ctx, client.ObjectKeyFromObject(u), now); err != nil {
			return "", fmt.Errorf("read %s: %w", title(u), err)
		}
		state, err := status.Compute(now)
		switch {
		case err != nil:
			return "", fmt.Errorf("state of %s: %w", title(u), err)
		case state.Status == status.FailedStatus:
			return "", fmt.Errorf("%s failed: %s", title(u), state.Message)
		case state.Status != status.CurrentStatus:
			return fmt.Sprintf("%s: %s", title(u), state.Message), nil
		}
	}
	return "", nil
}

func title(u *unstructured.Unstructured) string {
	if u.GetNamespace() == "" {
		return u.GetKind() + " " + u.GetName()
	}
	return fmt.Sprintf("%s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName())
}
