package pods

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// removeWithin bounds how long it may take to remove what was made.
	removeWithin = 45 * time.Second
	// removeLook is how often what is being removed is looked at.
	removeLook = 100 * time.Millisecond
)

// NewOwner is an owner for one use, with a name of its own that begins with prefix.
func NewOwner(prefix string) writer.Owner {
	raw := make([]byte, 4)
	_, _ = rand.Read(raw) // never fails
	return writer.Owner{Name: prefix + hex.EncodeToString(raw), UID: uuid.NewUUID()}
}

// MakeHome makes a namespace for pods that stand for nobody, with the owner's name.
func (p *Placer) MakeHome(ctx context.Context) error {
	home := &corev1.Namespace{ObjectMeta: p.Owner.Meta("", p.Owner.Name, "check")}
	home.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	if err := p.Write.Create(ctx, home); err != nil {
		return fmt.Errorf("make namespace %s, in which the cluster is asked whether it enforces policies: %w", home.Name, err)
	}
	return nil
}

// RemoveAll removes the owner's home and what it placed in other namespaces, also
// after ctx has ended, and waits until all is gone. The error has the command that
// removes what is left.
func (p *Placer) RemoveAll(ctx context.Context, others []string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer stop()
	namespaces := append([]string{p.Owner.Name}, others...)
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	for {
		left, err := p.remove(ctx, namespaces)
		if left == "" && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s left; remove it with: %s", cmp.Or(left, "something is"), Removal(p.Owner.Name, namespaces)), err)
		case <-time.After(removeLook):
		}
	}
}

// remove deletes what is there and says what still is; empty: nothing.
func (p *Placer) remove(ctx context.Context, namespaces []string) (left string, err error) {
	n, err := p.Clear(ctx, namespaces)
	if n > 0 {
		left = fmt.Sprintf("%d pods and ConfigMaps are", n)
	}
	home := &corev1.Namespace{}
	switch got := p.Live.Get(ctx, client.ObjectKey{Name: p.Owner.Name}, home); {
	case apierrors.IsNotFound(got):
		return left, err
	case got != nil:
		return left, errors.Join(err, got)
	case !p.Owner.Made(home):
		return left, err
	case home.DeletionTimestamp == nil && n == 0:
		err = errors.Join(err, p.Write.Delete(ctx, home))
	}
	return cmp.Or(left, "namespace "+home.Name+" is"), err
}

// Removal is the command that removes what an owner left in namespaces and its home,
// which has its name.
func Removal(owner string, namespaces []string) string {
	var lines []string
	for _, ns := range namespaces {
		if ns != owner {
			lines = append(lines, fmt.Sprintf("kubectl -n %s delete pods,configmaps -l %s=%s", ns, v1alpha1.LabelRun, owner))
		}
	}
	return strings.Join(append(lines, "kubectl delete namespace "+owner), " && ")
}
