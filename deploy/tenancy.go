package deploy

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// TenantAccount is the service account that a tenant's namespace gets: what its
// rollouts name in spec.serviceAccountName.
const TenantAccount = "tightrope-rollout"

const (
	// leastMinor of Kubernetes serves what keeps tenants apart: ValidatingAdmissionPolicy.
	leastMinor = 30
	// constrainedMinor of Kubernetes knows what a right to impersonate is for. To grant the
	// older verb beside the new ones would void that.
	constrainedMinor = 36
)

// ErrTenancy is that tenants cannot be kept apart as the options ask for.
var ErrTenancy = errors.New("tenants")

// validTenancy refuses options that contradict one another, or that the cluster
// cannot keep.
func (o Options) validTenancy() error {
	switch {
	case o.SingleTenant && len(o.Tenants) > 0:
		return fmt.Errorf("%w: an installation is single-tenant or has tenants, not both", ErrTenancy)
	case !o.SingleTenant && o.Minor != 0 && o.Minor < leastMinor:
		return fmt.Errorf("%w: Kubernetes 1.%d cannot keep them apart: that takes ValidatingAdmissionPolicy, which is there from 1.%d on; upgrade the cluster, or install with --single-tenant, where whoever may create a rollout may change policies everywhere",
			ErrTenancy, o.Minor, leastMinor)
	}
	for _, ns := range o.Tenants {
		if wrong := validation.IsDNS1123Label(ns); len(wrong) > 0 {
			return fmt.Errorf("%w: %q is no name of a namespace: %s", ErrTenancy, ns, wrong[0])
		}
		if slices.Contains([]string{systemNamespace, "kube-system", "kube-public", "kube-node-lease"}, ns) {
			return fmt.Errorf("%w: %s is no tenant's namespace: no rollout may be made there", ErrTenancy, ns)
		}
	}
	return nil
}

// systemNamespace is where the controller lives.
const systemNamespace = "tightrope-system"

// tenancy returns the objects that depend on who may make rollouts.
func (o Options) tenancy() ([]*unstructured.Unstructured, error) {
	if o.SingleTenant {
		return read("manifests/single")
	}
	objects, err := read("manifests/several")
	if err != nil {
		return nil, err
	}
	if o.constrained() {
		more, err := read("manifests/constrained")
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	tenants := slices.Clone(o.Tenants)
	slices.Sort(tenants)
	for _, ns := range slices.Compact(tenants) {
		more, err := o.tenant(ns)
		if err != nil {
			return nil, fmt.Errorf("deploy: tenant %s: %w", ns, err)
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

func (o Options) constrained() bool { return o.Minor >= constrainedMinor }

// tenant returns the account of one tenant, and what the controller may do there.
func (o Options) tenant(namespace string) ([]*unstructured.Unstructured, error) {
	objects, err := read("manifests/tenant")
	if err != nil {
		return nil, err
	}
	for _, x := range objects {
		x.SetNamespace(namespace)
		switch x.GetKind() {
		case "RoleBinding":
			err = eachOf(x, func(subject map[string]any) {
				if subject["namespace"] == nil {
					subject["namespace"] = namespace
				}
			}, "subjects")
		case "Role":
			err = eachOf(x, o.constrain, "rules")
		}
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// constrain makes the right to impersonate one that says what for.
func (o Options) constrain(rule map[string]any) {
	if verbs, _ := rule["verbs"].([]any); o.constrained() && slices.Contains(verbs, any("impersonate")) {
		rule["apiGroups"], rule["verbs"] = []any{"authentication.k8s.io"}, []any{"impersonate:serviceaccount"}
	}
}

// eachOf edits every entry of a list of objects.
func eachOf(x *unstructured.Unstructured, edit func(map[string]any), fields ...string) error {
	list, _, err := unstructured.NestedSlice(x.Object, fields...)
	if err != nil {
		return err
	}
	for _, entry := range list {
		if m, ok := entry.(map[string]any); ok {
			edit(m)
		}
	}
	return unstructured.SetNestedSlice(x.Object, list, fields...)
}

// served leaves out the kinds that an older cluster does not know. Only a single-tenant
// installation goes without.
func (o Options) served(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	if o.Minor == 0 || o.Minor >= leastMinor {
		return objects
	}
	return slices.DeleteFunc(objects, func(x *unstructured.Unstructured) bool {
		group := x.GroupVersionKind().Group
		return group == "admissionregistration.k8s.io" || group == "flowcontrol.apiserver.k8s.io"
	})
}

// aggregated are the built-in roles that a role of ours for people is part of. Where
// there is one tenant, there are none: whoever may create a rollout acts with the
// controller's rights then, and what runs say tells of all namespaces.
var aggregated = map[string]string{"tightrope-viewer": "view", "tightrope-operator": "edit"}

func (o Options) aggregate(x *unstructured.Unstructured) {
	role := aggregated[x.GetName()]
	if o.SingleTenant || x.GetKind() != "ClusterRole" || role == "" {
		return
	}
	labels := x.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["rbac.authorization.k8s.io/aggregate-to-"+role] = "true"
	x.SetLabels(labels)
}
