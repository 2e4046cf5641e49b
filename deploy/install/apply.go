package install

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/deploy"
)

func (i *installer) applyAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if err := i.applyOne(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// applyOne applies an object on the server's side and remembers what was there.
func (i *installer) applyOne(ctx context.Context, o *unstructured.Unstructured) error {
	before, err := i.get(ctx, o)
	if err != nil {
		return err
	}
	if err := ourNamespace(before); err != nil {
		return err
	}
	o = madeHere(o, before)
	note := &change{object: o, before: before}
	i.changes = append(i.changes, note)
	if note.after, err = i.patch(ctx, o); err != nil {
		return err
	}
	did := "configured"
	switch {
	case before == nil:
		did = "created"
	case alike(before, note.after):
		did, i.changes = "unchanged", i.changes[:len(i.changes)-1]
	}
	i.say("%s %s", Title(o), did)
	return nil
}

// madeHere makes a namespace say that an installation made it: another one is not
// deleted with what is in it.
func madeHere(o, before *unstructured.Unstructured) *unstructured.Unstructured {
	if o.GetKind() != "Namespace" || before != nil && before.GetAnnotations()[annotationMade] == "" {
		return o
	}
	o = o.DeepCopy()
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationMade] = "true"
	o.SetAnnotations(annotations)
	return o
}

// annotationMade is on the namespace if an installation made it.
const annotationMade = "tightrope.dev/made-by-installation"

// ourNamespace refuses a namespace that is being deleted: nothing can be put there.
func ourNamespace(before *unstructured.Unstructured) error {
	if before == nil || before.GetKind() != "Namespace" || before.GetDeletionTimestamp() == nil {
		return nil
	}
	return fmt.Errorf("namespace %s is being deleted; wait until it is gone (kubectl wait --for=delete namespace/%s)", before.GetName(), before.GetName())
}

// patch is the server-side apply of one object.
func (i *installer) patch(ctx context.Context, o *unstructured.Unstructured, opts ...client.ApplyOption) (*unstructured.Unstructured, error) {
	after := o.DeepCopy()
	opts = append(opts, client.FieldOwner(fieldManager))
	if i.Overwrite {
		opts = append(opts, client.ForceOwnership)
	}
	err := i.c.Apply(ctx, client.ApplyConfigurationFromUnstructured(after), opts...)
	switch {
	case apierrors.IsConflict(err):
		return nil, fmt.Errorf("%w: apply %s: %w; --force-conflicts takes the fields over", ErrConflict, Title(o), err)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w: apply %s: %w", ErrRights, Title(o), err)
	case err != nil:
		return nil, fmt.Errorf("apply %s: %w", Title(o), err)
	}
	return after, nil
}

// wouldChange reports whether applying the objects would change any. The API server is
// asked, which fills in defaults and stores nothing.
func (i *installer) wouldChange(ctx context.Context) (bool, error) {
	for _, o := range slices.Concat(i.crds, i.objects) {
		before, err := i.get(ctx, o)
		if err != nil || before == nil {
			return true, err
		}
		after, err := i.patch(ctx, madeHere(o, before), client.DryRunAll)
		if err != nil {
			return true, err
		}
		if !alike(before, after) {
			return true, nil
		}
	}
	return false, nil
}

// wouldApply has the API server check what it can before the first write: a role that
// grants more than the caller has, or an object that somebody else made.
func (i *installer) wouldApply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetNamespace() != "" || o.GetKind() == "ClusterRoleBinding" { // they need what is not there yet
			continue
		}
		if _, err := i.patch(ctx, o, client.DryRunAll); err != nil {
			return err
		}
	}
	return nil
}

// rehearse has the API server check everything without storing it. What goes into a
// namespace or asks for a kind that is not there yet cannot be checked, and is named.
func (i *installer) rehearse(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		_, err := i.patch(ctx, o, client.DryRunAll)
		switch {
		case apierrors.IsNotFound(err):
			i.say("%s cannot be checked before what it needs is there", Title(o))
		case err != nil:
			return err
		default:
			i.say("%s would be applied", Title(o))
		}
	}
	return nil
}

// fits asks the API server whether it would take a pod of the Deployment. Where it
// only refuses its priority class, as quotas of some clusters do outside
// kube-system, the Deployment goes without.
func (i *installer) fits(ctx context.Context, deployment *unstructured.Unstructured) error {
	pod, err := podOf(deployment)
	if err != nil {
		return err
	}
	if ok, err := i.mayMakePods(ctx); err != nil || !ok {
		return err // the Deployment's own pod will tell
	}
	refused := i.c.Create(ctx, pod.DeepCopy(), client.DryRunAll)
	if refused == nil || !apierrors.IsForbidden(refused) && !apierrors.IsInvalid(refused) {
		return nil
	}
	if pod.Spec.PriorityClassName != "" {
		ordinary := pod.DeepCopy()
		ordinary.Spec.PriorityClassName = ""
		if err := i.c.Create(ctx, ordinary, client.DryRunAll); err == nil {
			i.say("the controller gets no priority class: %v", refused)
			unstructured.RemoveNestedField(deployment.Object, "spec", "template", "spec", "priorityClassName")
			return nil
		}
	}
	return fmt.Errorf("the cluster does not take a pod of %s: %w", Title(deployment), refused)
}

func podOf(deployment *unstructured.Unstructured) (*corev1.Pod, error) {
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Title(deployment), err)
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
		return nil, fmt.Errorf("%s: %w", Title(deployment), err)
	}
	pod.Namespace, pod.GenerateName = deployment.GetNamespace(), deployment.GetName()+"-"
	return pod, nil
}

// shipped are the kinds of which an older version may have had more objects.
var shipped = []schema.GroupVersionKind{
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Version: "v1", Kind: "ServiceAccount"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "FlowSchema"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "PriorityLevelConfiguration"},
}

// prune deletes what an older version had and this one has not.
func (i *installer) prune(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, o := range i.objects {
		wanted[Title(o)] = true
	}
	for _, kind := range shipped {
		list, err := i.ours(ctx, kind)
		if err != nil {
			return err
		}
		for _, o := range list {
			if wanted[Title(&o)] {
				continue
			}
			i.changes = append(i.changes, &change{object: &o, before: &o, deleted: true})
			if err := i.erase(ctx, &o); err != nil {
				return err
			}
			i.say("%s deleted: this version has none", Title(&o))
		}
	}
	return nil
}

// ours are the objects of a kind that an installation applied: in no namespace, in
// Tightrope's own, and in those of tenants. None of a kind that is not served.
func (i *installer) ours(ctx context.Context, kind schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	all, err := i.all(ctx, kind, client.MatchingLabels{deploy.LabelPartOf: deploy.PartOf})
	return slices.DeleteFunc(all, func(o unstructured.Unstructured) bool { return !applied(&o) }), err
}

// applied reports whether an installation applied the object: its label alone may be
// somebody else's.
func applied(o *unstructured.Unstructured) bool {
	for _, m := range o.GetManagedFields() {
		if m.Manager == fieldManager && m.Operation == metav1.ManagedFieldsOperationApply {
			return true
		}
	}
	return false
}
