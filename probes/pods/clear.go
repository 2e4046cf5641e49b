package pods

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Clear deletes the owner's probe pods and their plans in the given namespaces, and
// reports how many are still there, the ones on their way out included. The plans
// go last: without its plan a pod is the collector's.
func (p *Placer) Clear(ctx context.Context, namespaces []string) (left int, err error) {
	var failed []error
	for _, list := range []client.ObjectList{&corev1.PodList{}, &corev1.ConfigMapList{}} {
		for _, ns := range namespaces {
			n, err := p.clear(ctx, list, ns)
			left, failed = left+n, append(failed, err)
		}
	}
	return left, errors.Join(failed...)
}

func (p *Placer) clear(ctx context.Context, list client.ObjectList, namespace string) (left int, err error) {
	if err := p.Live.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelRun: p.Owner.Name}); err != nil {
		return 0, fmt.Errorf("what is left of %s in namespace %s: %w", p.Owner.Name, namespace, err)
	}
	var objects []client.Object
	switch list := list.(type) {
	case *corev1.PodList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case *corev1.ConfigMapList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	var ours []client.Object
	for _, o := range objects {
		if p.Owner.Made(o) {
			ours = append(ours, o)
		}
	}
	return len(ours), writer.Each(ours, func(o client.Object) error {
		if o.GetDeletionTimestamp() != nil {
			return nil
		}
		if err := p.Write.Delete(ctx, o); err != nil {
			return fmt.Errorf("delete %T %s/%s: %w", o, o.GetNamespace(), o.GetName(), err)
		}
		return nil
	})
}
