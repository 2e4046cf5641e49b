package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// underWay is how young what a command made may be without being a leftover: another
// verification or examination may be at work, and its pods may not be there yet. These say
// how long they last, which is longer than the command that made them.
const underWay = 5 * time.Minute

// leavings are the kinds that runs, verifications and examinations make.
var leavings = []schema.GroupVersionKind{
	networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"), corev1.SchemeGroupVersion.WithKind("Pod"),
	corev1.SchemeGroupVersion.WithKind("ConfigMap"), corev1.SchemeGroupVersion.WithKind("Namespace"),
}

// leftover is what is there of one owner that is not.
type leftover struct {
	what   []string
	places map[string]bool // namespaces in which it has objects
	homes  []string        // namespaces that it made
	until  time.Time       // its owner may be at work
}

// made is an object of some owner.
type made struct {
	metav1.Object
	lasts time.Duration // its owner may be at work after it was made
}

// marked lists what of a kind carries the mark of a run.
func (x *examiner) marked(ctx context.Context, kind schema.GroupVersionKind) ([]made, error) {
	var found []made
	if kind.Kind == "Pod" {
		var list corev1.PodList
		err := x.api.List(ctx, &list, client.HasLabels{v1alpha1.LabelRun})
		for i := range list.Items {
			pod := &list.Items[i]
			life := time.Duration(ptr.Deref(pod.Spec.ActiveDeadlineSeconds, 0)) * time.Second
			found = append(found, made{pod, max(underWay, life)})
		}
		return found, err
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := x.api.List(ctx, &list, client.HasLabels{v1alpha1.LabelRun})
	for i := range list.Items {
		found = append(found, made{&list.Items[i], underWay})
	}
	return found, err
}

// leftovers names what carries the mark of a run that does not exist.
func (x *examiner) leftovers(ctx context.Context) {
	const name = "leftovers"
	alive, err := x.runs(ctx)
	if err != nil {
		x.add(name, Unknown, err.Error())
		return
	}
	left := map[string]*leftover{} // by owner
	for _, kind := range leavings {
		objects, err := x.marked(ctx, kind)
		if err != nil {
			x.add(name, Unknown, fmt.Sprintf("list objects of kind %s: %v", kind.Kind, err))
			continue
		}
		for _, o := range objects {
			owner := o.GetLabels()[v1alpha1.LabelRun]
			if alive[owner] || owner == x.placer.Owner.Name || o.GetDeletionTimestamp() != nil || o.GetLabels()[v1alpha1.LabelRole] == "report" {
				continue
			}
			if left[owner] == nil {
				left[owner] = &leftover{places: map[string]bool{}}
			}
			left[owner].add(kind.Kind, o)
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(left)) {
		l := left[owner]
		if rest := time.Until(l.until); rest > 0 && (strings.HasPrefix(owner, "tightrope-verify-") || strings.HasPrefix(owner, Prefix)) {
			x.add(name, Note, fmt.Sprintf("%s may be under way, for at most %v more", owner, (rest+time.Second).Truncate(time.Second)))
			continue
		}
		x.add(name, Problem, fmt.Sprintf("of %s, which is not there any more: %s", owner, l.list()), l.removal(x.Kubectl, owner)...)
	}
	if borrowed := x.borrowed(ctx, name, alive); len(left)+borrowed == 0 {
		x.add(name, OK, "nothing carries the mark of a run that is not there")
	}
}

// borrowed names the policies that a run was to change or remove, and that it did not
// give back before it was gone. It returns how many there are, those that are not known
// included.
func (x *examiner) borrowed(ctx context.Context, name string, alive map[string]bool) int {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind("NetworkPolicyList"))
	if err := x.api.List(ctx, &list, client.HasLabels{v1alpha1.LabelOriginal}); err != nil {
		x.add(name, Unknown, fmt.Sprintf("list the policies that runs change: %v", err))
		return 1
	}
	found := 0
	for _, o := range list.Items {
		if alive[o.Labels[v1alpha1.LabelOriginal]] || o.DeletionTimestamp != nil {
			continue
		}
		found++
		x.add(name, Problem, fmt.Sprintf("policy %s/%s is not as its author wrote it: %s, which is not there any more, has changed it. Its annotation %s has the spec that it had; give it that, and take the annotation and the label of the same name off",
			o.Namespace, o.Name, o.Labels[v1alpha1.LabelOriginal], v1alpha1.AnnotationOriginal),
			fmt.Sprintf(`%s -n %s get networkpolicy %s -o jsonpath='{.metadata.annotations.tightrope\.dev/original}'`, x.Kubectl, o.Namespace, o.Name))
	}
	return found
}

func (l *leftover) add(kind string, o made) {
	l.what = append(l.what, strings.ToLower(kind)+" "+strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))
	if until := o.GetCreationTimestamp().Add(o.lasts); until.After(l.until) {
		l.until = until
	}
	if kind == "Namespace" {
		l.homes = append(l.homes, o.GetName())
		return
	}
	l.places[o.GetNamespace()] = true
}

func (l *leftover) list() string {
	slices.Sort(l.what)
	if more := len(l.what) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(l.what[:maxListed], ", "), more)
	}
	return strings.Join(l.what, ", ")
}

// removal are the commands that remove it. Policies that deny go before the bridges
// that allow what they deny.
func (l *leftover) removal(kubectl, owner string) []string {
	var lines []string
	for _, ns := range slices.Sorted(maps.Keys(l.places)) {
		if slices.Contains(l.homes, ns) {
			continue
		}
		label := v1alpha1.LabelRun + "=" + owner
		lines = append(lines,
			fmt.Sprintf("%s -n %s delete networkpolicies -l %s,%s!=bridge", kubectl, ns, label, v1alpha1.LabelRole),
			fmt.Sprintf("%s -n %s delete networkpolicies,pods,configmaps -l %s", kubectl, ns, label))
	}
	for _, home := range l.homes {
		lines = append(lines, fmt.Sprintf("%s delete namespace %s", kubectl, home))
	}
	return lines
}

// runs are the names of the runs that are there; none where the CRD is not.
func (x *examiner) runs(ctx context.Context) (map[string]bool, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("PolicyRolloutRunList"))
	err := x.api.List(ctx, &list)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	names := map[string]bool{}
	for _, o := range list.Items {
		names[o.Name] = true
	}
	return names, nil
}
