package install

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

// ourPrefix begins every label and annotation key that is ours.
const ourPrefix = "tightrope.dev/"

// Removal says how to uninstall. The zero value refuses while a run is under way.
type Removal struct {
	Abort bool // abort what is under way first, and wait until it is taken back
}

// Uninstall removes everything of Tightrope. Policies stay in force as they are; the
// committed ones lose our marks. Rollouts go first, while the controller is there to
// tidy up after them. It can be repeated after it failed half-way.
func Uninstall(ctx context.Context, cfg *rest.Config, o Options, r Removal) error {
	i, err := newInstaller(cfg, o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, cmp.Or(i.Timeout, DefaultTimeout), errTimeout)
	defer stop()
	if err := i.mayRemove(ctx); err != nil {
		return err
	}
	objects, err := i.present(ctx)
	switch {
	case err != nil:
		return err
	case len(objects) == 0:
		return fmt.Errorf("%w: the cluster has nothing that an installation has applied (what a chart or GitOps applied, they remove)", ErrNotInstalled)
	}
	if i.DryRun {
		for _, o := range objects {
			i.say("%s would be deleted", Title(&o))
		}
		return nil
	}
	if r.Abort {
		err = i.abortAll(ctx)
	} else {
		err = i.noneLive(ctx, "uninstall (--abort does both)")
	}
	if err != nil {
		return err
	}
	if err := i.noOrphans(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{i.removeRollouts, i.noTemporary, i.stopController, i.unmarkPolicies, i.unmarkPods, i.sweep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return i.eraseAll(ctx, objects)
}

// present is what there is of an installation, in the order to delete it in: the
// CRDs and roles first, and the namespace last, because the controller's rights must
// not outlive it and nothing else waits for it.
func (i *installer) present(ctx context.Context) ([]unstructured.Unstructured, error) {
	objects := slices.Clone(i.objects)
	slices.Reverse(objects)
	var found []unstructured.Unstructured
	seen := map[string]bool{}
	add := func(o *unstructured.Unstructured) {
		if o != nil && !seen[Title(o)] {
			seen[Title(o)] = true
			found = append(found, *o)
		}
	}
	for _, kind := range shipped { // of older versions, too
		older, err := i.ours(ctx, kind)
		if err != nil {
			return nil, err
		}
		for _, o := range older {
			add(&o)
		}
	}
	for _, o := range slices.Concat(i.crds, objects) {
		now, err := i.get(ctx, o)
		if err != nil {
			return nil, err
		}
		if now != nil && applied(now) { // one of that name may be somebody else's
			add(now)
		}
	}
	return found, nil
}

// userKinds are those that people make, in the order in which to delete them.
var userKinds = []string{"PolicyRollout", "PolicyRolloutRun", "ConnectivitySuite"}

// removeRollouts deletes every rollout, run and suite, and waits: the controller
// tidies up after each run before it lets it go.
func (i *installer) removeRollouts(ctx context.Context) error {
	for left := true; left; { // somebody may make another one meanwhile
		var err error
		if left, err = i.removeOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// removeOnce reports whether there was anything to delete.
func (i *installer) removeOnce(ctx context.Context) (some bool, err error) {
	for _, kind := range userKinds {
		gvk := v1alpha1.GroupVersion.WithKind(kind)
		list, err := i.all(ctx, gvk)
		if err != nil {
			return false, err
		}
		some = some || len(list) > 0
		for _, o := range list {
			if err := i.erase(ctx, &o); err != nil {
				return false, fmt.Errorf("%w; is the controller running? kubectl -n %s get pods", err, v1alpha1.SystemNamespace)
			}
			i.say("%s deleted", Title(&o))
		}
	}
	return some, nil
}

// all lists every object of a kind; none where the kind is not served.
func (i *installer) all(ctx context.Context, gvk schema.GroupVersionKind, where ...client.ListOption) ([]unstructured.Unstructured, error) {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	err := i.c.List(ctx, &list, where...)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list objects of kind %s: %w", gvk.Kind, err)
	}
	return list.Items, nil
}

// stopController ends the controller, so that nothing writes any more.
func (i *installer) stopController(ctx context.Context) error {
	deployments, err := i.all(ctx, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
		client.InNamespace(v1alpha1.SystemNamespace), client.MatchingLabels{deploy.LabelPartOf: deploy.PartOf})
	if err != nil {
		return err
	}
	for _, d := range deployments {
		if err := i.erase(ctx, &d); err != nil {
			return err
		}
		i.say("%s deleted", Title(&d))
	}
	return nil
}

// temporary are the policies that a run has in force for a while, and those of others
// that it changes, by run.
func (i *installer) temporary(ctx context.Context) (map[string][]unstructured.Unstructured, error) {
	policies, err := i.all(ctx, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"), client.HasLabels{v1alpha1.LabelRun})
	if err != nil {
		return nil, err
	}
	byRun := map[string][]unstructured.Unstructured{}
	for _, p := range policies {
		if p.GetAnnotations()[v1alpha1.AnnotationRunUID] != "" { // a label alone may be anybody's
			byRun[p.GetLabels()[v1alpha1.LabelRun]] = append(byRun[p.GetLabels()[v1alpha1.LabelRun]], p)
		}
	}
	all, err := i.all(ctx, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	for _, p := range all { // somebody may have taken the label off
		if text := p.GetAnnotations()[v1alpha1.AnnotationOriginal]; text != "" {
			var n struct {
				Run string `json:"run"`
			}
			if json.Unmarshal([]byte(text), &n) != nil || len(validation.IsDNS1123Subdomain(n.Run)) > 0 {
				n.Run = "unknown" // anybody can write an annotation
			}
			byRun[n.Run] = append(byRun[n.Run], p)
		}
	}
	return byRun, err
}

// noOrphans refuses, before anything is deleted, where a run that is gone has left a
// temporary policy. What it does for people's paths cannot be known here.
func (i *installer) noOrphans(ctx context.Context) error {
	byRun, err := i.temporary(ctx)
	if err != nil {
		return err
	}
	runs, err := i.runs(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		delete(byRun, run.Name)
	}
	return leftBy(byRun, "nothing was removed")
}

// noTemporary refuses to stop the controller while a policy is there that it should
// take away.
func (i *installer) noTemporary(ctx context.Context) error {
	byRun, err := i.temporary(ctx)
	if err != nil {
		return err
	}
	return leftBy(byRun, "rollouts were removed, and the controller still runs")
}

func leftBy(byRun map[string][]unstructured.Unstructured, so string) error {
	runs := slices.Sorted(maps.Keys(byRun))
	if len(runs) == 0 {
		return nil
	}
	run, p := runs[0], byRun[runs[0]][0]
	if p.GetAnnotations()[v1alpha1.AnnotationOriginal] != "" {
		return fmt.Errorf("%w: policy %s/%s was there before run %s, which is gone and has not given it back: give it the spec that its annotation %s has, take that annotation and the label of the same name off, and uninstall again; %s",
			ErrLive, p.GetNamespace(), p.GetName(), run, v1alpha1.AnnotationOriginal, so)
	}
	return fmt.Errorf("%w: policy %s/%s is a temporary one of run %s (role %s), which is gone: without it paths may break or open, so it stays and %s; look at it, delete it (kubectl -n %s delete networkpolicy %s), and uninstall again",
		ErrLive, p.GetNamespace(), p.GetName(), run, p.GetLabels()[v1alpha1.LabelRole], so, p.GetNamespace(), p.GetName())
}

// unmarkPolicies takes our labels and annotations off policies that are in force.
func (i *installer) unmarkPolicies(ctx context.Context) error {
	policies, err := i.all(ctx, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	if err != nil {
		return err
	}
	for _, p := range policies {
		if did, err := i.unmark(ctx, &p); err != nil {
			return err
		} else if did {
			i.say("%s stays in force, without our marks", Title(&p))
		}
	}
	return nil
}

// unmarkPods takes the labels off people's pods that a run put there.
func (i *installer) unmarkPods(ctx context.Context) error {
	for _, label := range []string{v1alpha1.LabelEnforced, v1alpha1.LabelSpared} {
		pods, err := i.all(ctx, corev1.SchemeGroupVersion.WithKind("Pod"), client.HasLabels{label})
		if err != nil {
			return err
		}
		for _, p := range pods {
			if p.GetLabels()[v1alpha1.LabelRun] != "" {
				continue // our own: swept
			}
			if _, err := i.unmark(ctx, &p); err != nil {
				return err
			}
		}
	}
	return nil
}

// unmark takes every key of ours off an object, as it was read. It reports whether
// there was one. An object that is gone is fine.
func (i *installer) unmark(ctx context.Context, o *unstructured.Unstructured) (bool, error) {
	metadata := map[string]any{"uid": o.GetUID(), "resourceVersion": o.GetResourceVersion()}
	for field, have := range map[string]map[string]string{"labels": o.GetLabels(), "annotations": o.GetAnnotations()} {
		off := map[string]*string{}
		for key := range have {
			if strings.HasPrefix(key, ourPrefix) && key != v1alpha1.LabelScenario {
				off[key] = nil
			}
		}
		if len(off) > 0 {
			metadata[field] = off
		}
	}
	if len(metadata) == 2 {
		return false, nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return false, err
	}
	err = i.c.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("take our marks off %s: %w", Title(o), err)
	}
	return true, nil
}

// sweep deletes the probe pods, plans and reports that are left in any namespace.
func (i *installer) sweep(ctx context.Context) error {
	for _, kind := range []string{"Pod", "ConfigMap"} {
		list, err := i.all(ctx, corev1.SchemeGroupVersion.WithKind(kind), client.HasLabels{v1alpha1.LabelRun})
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.GetLabels()[v1alpha1.LabelRole] == "" {
				continue // somebody labelled it himself
			}
			if err := i.erase(ctx, &o); err != nil {
				return err
			}
			i.say("%s deleted", Title(&o))
		}
	}
	return nil
}

// eraseAll deletes what there was of the installation; what is gone by now is fine.
func (i *installer) eraseAll(ctx context.Context, objects []unstructured.Unstructured) error {
	last := func(o unstructured.Unstructured) int {
		if o.GetKind() == "Namespace" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(objects, func(a, b unstructured.Unstructured) int { return last(a) - last(b) })
	for _, o := range objects {
		now, err := i.get(ctx, &o)
		if err != nil || now == nil {
			if err != nil {
				return err
			}
			continue
		}
		if now.GetKind() == "Namespace" {
			if err := i.eraseNamespace(ctx, now); err != nil {
				return err
			}
			continue
		}
		if err := i.erase(ctx, now); err != nil {
			return err
		}
		i.say("%s deleted", Title(now))
	}
	return nil
}

// peoples are the kinds of what people may have put into our namespace.
var peoples = []string{"Secret", "ConfigMap", "Pod", "Service"}

// eraseNamespace deletes our namespace if an installation made it and nothing of
// anybody else is in it, such as a pull secret.
func (i *installer) eraseNamespace(ctx context.Context, ns *unstructured.Unstructured) error {
	kept := ""
	if ns.GetAnnotations()[annotationMade] == "" {
		kept = "it was there before Tightrope"
	}
	for _, kind := range peoples {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind + "List"))
		if err := i.c.List(ctx, list, client.InNamespace(ns.GetName())); err != nil {
			kept = fmt.Sprintf("what of kind %s is in it cannot be seen (%v)", kind, err)
			break
		}
		for _, o := range list.Items {
			if o.Labels[v1alpha1.LabelRole] == "" && !strings.HasSuffix(o.Name, ".crt") && o.DeletionTimestamp == nil {
				kept = fmt.Sprintf("it holds %s/%s, which is not ours", strings.ToLower(kind), o.Name)
			}
		}
	}
	if kept != "" {
		if _, err := i.unmark(ctx, ns); err != nil {
			return err
		}
		i.say("%s is kept: %s; kubectl delete namespace %s removes it", Title(ns), kept, ns.GetName())
		return nil
	}
	if err := i.erase(ctx, ns); err != nil {
		return err
	}
	i.say("%s deleted", Title(ns))
	return nil
}
