package enforcing

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Form is a form of write that a rollout and its rollback rest on.
type Form string

// The forms.
const (
	Create   Form = "Create"   // of a policy that denies
	Delete   Form = "Delete"   // of it
	Select   Form = "Select"   // an update makes its selector select pods that it did not
	Deselect Form = "Deselect" // an update makes its selector select nothing
	Label    Form = "Label"    // a label of a running pod takes it out of the policy
	Unlabel  Form = "Unlabel"  // and without the label it is back
)

// Within is how long the form may take to act.
func (f Form) Within() time.Duration {
	if f == Label || f == Unlabel {
		return LabelWithin
	}
	return Within
}

// Tried is how a form of write acted.
type Tried struct {
	Form Form
	Flip Flip
}

// Acts reports whether every pair followed the write.
func (t Tried) Acts() bool { return len(t.Flip.Late) == 0 && len(t.Flip.Took) > 0 }

// Forms tries the forms that Measure does not, once. It must be called in the state
// in which nothing is denied, and leaves that. What it did not come to, because time
// ended or because the form before did not act, is not in the answer.
func (b *Bench) Forms(ctx context.Context) (all []Tried, err error) {
	added, err := b.deny(ctx)
	if err != nil || len(added.Late) > 0 {
		return nil, err
	}
	try := func(f Form, denied bool, write func(context.Context) error) (acts bool, err error) {
		if err := write(ctx); err != nil {
			return false, fmt.Errorf("write to see whether the form %s acts: %w", f, err)
		}
		flip, err := b.flip(ctx, time.Now(), denied, f.Within())
		if err != nil {
			return false, err
		}
		all = append(all, Tried{f, flip})
		return all[len(all)-1].Acts(), nil
	}
	acts, err := try(Deselect, false, func(ctx context.Context) error { return b.reselect(ctx, false) })
	if err == nil && acts {
		acts, err = try(Select, true, func(ctx context.Context) error { return b.reselect(ctx, true) })
	}
	if err == nil && acts { // last: it may take longer than there is time
		acts, err = try(Label, false, func(ctx context.Context) error { return b.relabel(ctx, true) })
	}
	if err == nil && acts {
		_, err = try(Unlabel, true, func(ctx context.Context) error { return b.relabel(ctx, false) })
	}
	if err != nil {
		return all, err
	}
	_, err = b.allow(ctx)
	return all, err
}

// reselect updates both policies: they select their side, or nothing.
func (b *Bench) reselect(ctx context.Context, live bool) error {
	for _, d := range Directions {
		np := b.policy(d)
		spec := np.Spec
		if !live {
			spec.PodSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: outLabel, Operator: metav1.LabelSelectorOpExists}, {Key: outLabel, Operator: metav1.LabelSelectorOpDoesNotExist},
			}}
		}
		if err := b.Placer.Live.Get(ctx, client.ObjectKeyFromObject(np), np); err != nil {
			return err
		}
		np.Spec = spec
		if err := b.Placer.Write.Update(ctx, np); err != nil {
			return err
		}
	}
	return nil
}

// relabel takes every pod out of the policy of its side, or puts it back.
func (b *Bench) relabel(ctx context.Context, out bool) error {
	var list corev1.PodList
	if err := b.Placer.Live.List(ctx, &list, client.InNamespace(b.Namespace), client.HasLabels{sideLabel}); err != nil {
		return err
	}
	value := outValue
	labels := map[string]*string{outLabel: nil}
	if out {
		labels[outLabel] = &value
	}
	for i := range list.Items {
		if err := b.Placer.Write.Relabel(ctx, &list.Items[i], labels, nil); err != nil {
			return err
		}
	}
	return nil
}
