package existing

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
)

// callers are the resources that tell who calls whom: which Services the API server
// calls, Ingresses and routes lead clients to, and metrics are fetched from; and
// which service accounts are bound to an identity of a cloud. Those of custom
// resources need not be there.
var callers = []schema.GroupVersionResource{
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
	{Group: "route.openshift.io", Version: "v1", Resource: "routes"},
	{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"},
	{Group: "projectcontour.io", Version: "v1", Resource: "httpproxies"},
	{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	{Group: "monitoring.coreos.com", Version: "v1", Resource: "servicemonitors"},
	{Group: "monitoring.coreos.com", Version: "v1", Resource: "podmonitors"},
	{Group: "monitoring.coreos.com", Version: "v1", Resource: "probes"},
	{Group: "operator.victoriametrics.com", Version: "v1beta1", Resource: "vmservicescrapes"},
	{Group: "operator.victoriametrics.com", Version: "v1beta1", Resource: "vmpodscrapes"},
}

// ListCallers adds the objects that tell who calls whom. No
// verdict depends on them, so a right that is missing is no error: what may not
// be listed is Unlisted.
func (l *Lists) ListCallers(ctx context.Context, cfg *rest.Config) error {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("cluster at %s: %w", cfg.Host, err)
	}
	for _, gvr := range callers {
		resource := gvr.GroupResource().String()
		list := client.Resource(gvr).List
		pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) })
		pages.PageSize = pageSize
		err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
			l.Callers = append(l.Callers, withoutSchemas(o.(*unstructured.Unstructured)))
			return nil
		})
		switch {
		case apierrors.IsForbidden(err):
			l.Unlisted = append(l.Unlisted, resource)
		case err != nil && !apierrors.IsNotFound(err): // not every cluster has every resource
			return fmt.Errorf("list %s: %w", resource, err)
		}
	}
	return nil
}

// withoutSchemas leaves out what makes CustomResourceDefinitions large.
func withoutSchemas(u *unstructured.Unstructured) unstructured.Unstructured {
	unstructured.RemoveNestedField(u.Object, "spec", "versions")
	u.SetManagedFields(nil)
	return *u
}
