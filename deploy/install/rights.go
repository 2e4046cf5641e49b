package install

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// mayBring asks, before anything is written, whether the caller may apply every
// object, and take it back.
func (i *installer) mayBring(ctx context.Context) error {
	var want []authorizationv1.ResourceAttributes
	for _, o := range slices.Concat(i.crds, i.objects) {
		resource, err := i.resource(o)
		if err != nil {
			return err
		}
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "update", "delete"} {
			resource.Verb = verb
			want = append(want, resource)
		}
	}
	want = append(want, authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: v1alpha1.SystemNamespace})
	return i.mayAll(ctx, want)
}

// mayRemove asks whether the caller may remove everything, wherever it is.
func (i *installer) mayRemove(ctx context.Context) error {
	var want []authorizationv1.ResourceAttributes
	for _, o := range slices.Concat(i.crds, i.objects) {
		resource, err := i.resource(o)
		if err != nil {
			return err
		}
		for _, verb := range []string{"get", "list", "watch", "delete"} {
			resource.Verb = verb
			want = append(want, resource)
		}
	}
	for resource, verbs := range map[authorizationv1.ResourceAttributes][]string{
		{Group: "networking.k8s.io", Resource: "networkpolicies"}: {"list", "patch"},
		{Resource: "pods"}:                                                   {"list", "watch", "patch", "delete"},
		{Resource: "configmaps"}:                                             {"list", "watch", "delete"},
		{Resource: "serviceaccounts"}:                                        {"list", "watch", "delete"}, // of tenants
		{Group: "rbac.authorization.k8s.io", Resource: "roles"}:              {"list", "watch", "delete"},
		{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}:       {"list", "watch", "delete"},
		{Group: v1alpha1.GroupVersion.Group, Resource: "policyrollouts"}:     {"list", "watch", "delete"},
		{Group: v1alpha1.GroupVersion.Group, Resource: "policyrolloutruns"}:  {"list", "watch", "patch", "delete"},
		{Group: v1alpha1.GroupVersion.Group, Resource: "connectivitysuites"}: {"list", "watch", "delete"},
	} {
		for _, verb := range verbs {
			resource.Verb = verb
			want = append(want, resource)
		}
	}
	return i.mayAll(ctx, want)
}

// resource is what an object is to the API server's authorizer.
func (i *installer) resource(o *unstructured.Unstructured) (authorizationv1.ResourceAttributes, error) {
	gvk := o.GroupVersionKind()
	mapping, err := i.c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return authorizationv1.ResourceAttributes{}, fmt.Errorf("%s: the cluster does not know the kind: %w", Title(o), err)
	}
	return authorizationv1.ResourceAttributes{Group: gvk.Group, Resource: mapping.Resource.Resource, Namespace: o.GetNamespace()}, nil
}

// mayAll asks about every right once. The error names all that are missing, by
// resource.
func (i *installer) mayAll(ctx context.Context, want []authorizationv1.ResourceAttributes) error {
	asked := map[authorizationv1.ResourceAttributes]bool{}
	missing := map[string][]string{} // verbs by resource
	for _, right := range want {
		if asked[right] {
			continue
		}
		asked[right] = true
		ok, err := i.may(ctx, right)
		if err != nil {
			return err
		}
		if !ok {
			of := right
			of.Verb = ""
			missing[spoken(of)] = append(missing[spoken(of)], right.Verb)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var lacks []string
	for _, of := range slices.Sorted(maps.Keys(missing)) {
		lacks = append(lacks, strings.Join(missing[of], "/")+" "+of)
	}
	return fmt.Errorf("%w (kubectl auth whoami says who you are to the cluster; its administrator can do this, or allow you): %s",
		ErrRights, strings.Join(lacks, ", "))
}

// may asks the API server about one right of the caller.
func (i *installer) may(ctx context.Context, want authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &want}}
	if err := i.c.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether you may %s: %w", spoken(want), err)
	}
	return review.Status.Allowed, nil
}

// spoken is a right in words.
func spoken(want authorizationv1.ResourceAttributes) string {
	what := strings.TrimSpace(want.Verb + " " + want.Resource)
	if want.Group != "" {
		what += "." + want.Group
	}
	if want.Namespace != "" {
		what += " in " + want.Namespace
	}
	return what
}

// mayMakePods reports whether the caller may create pods in Tightrope's namespace,
// if only to ask whether one would be taken.
func (i *installer) mayMakePods(ctx context.Context) (bool, error) {
	return i.may(ctx, authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: v1alpha1.SystemNamespace})
}
