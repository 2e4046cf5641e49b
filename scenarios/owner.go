package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy/install"
)

// ErrNotOurs is wrapped when a scenario would have to write to something that no
// scenario made. Nothing was written.
var ErrNotOurs = errors.New("nothing was written")

// mark makes an object known as one that scenarios of this root made.
func (s *Scenario) mark(o client.Object) {
	labels := map[string]string{v1alpha1.LabelScenario: s.root}
	for key, value := range o.GetLabels() {
		labels[key] = value
	}
	o.SetLabels(labels)
}

func (s *Scenario) made(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelScenario] == s.root }

// objects are what the scenario creates, marked: the topology, the suite and the
// rollout, in this order.
func (s *Scenario) objects(image string) ([]client.Object, error) {
	all, err := s.Manifests(image)
	if err != nil {
		return nil, err
	}
	all = append(all, s.Suite(), s.Rollout())
	for _, o := range all {
		s.mark(o)
	}
	return all, nil
}

// Check reads whether a scenario may run on a cluster: it creates what it needs,
// and overwrites only what a scenario of the same root created before. The error
// wraps ErrNotOurs where something is in its way. Run does the same before its
// first write; a caller with many scenarios checks them all before the first.
func Check(ctx context.Context, s *Scenario, o Options) error {
	c, err := newClient(o.Config)
	if err != nil {
		return err
	}
	return check(ctx, c, s, o)
}

func check(ctx context.Context, c client.Client, s *Scenario, o Options) error {
	if err := mayUse(ctx, o); err != nil {
		return err
	}
	objects, err := s.objects(o.Standin)
	if err != nil {
		return err
	}
	var namespaces, taken []string
	for _, obj := range objects {
		have, err := stored(ctx, c, obj)
		if err != nil {
			return err
		}
		switch kind := obj.GetObjectKind().GroupVersionKind().Kind; {
		case have == nil:
		case have.GetDeletionTimestamp() != nil:
			return fmt.Errorf("%s %s is being deleted: wait until it is gone; %w", kind, client.ObjectKeyFromObject(obj), ErrNotOurs)
		case s.made(have):
		case kind == "Namespace" && !o.AdoptNamespaces:
			namespaces = append(namespaces, obj.GetName())
		case kind == "Namespace":
			if lacks := without(have.GetLabels(), obj.GetLabels()); len(lacks) > 0 {
				taken = append(taken, fmt.Sprintf("Namespace %s lacks the labels %s", obj.GetName(), strings.Join(lacks, ", ")))
			}
		default:
			taken = append(taken, kind+" "+client.ObjectKeyFromObject(obj).String())
		}
	}
	return refusal(s, namespaces, taken)
}

// refusal names what is in the way; nil: nothing is.
func refusal(s *Scenario, namespaces, taken []string) error {
	mark := v1alpha1.LabelScenario + "=" + s.root
	switch {
	case len(namespaces) > 0:
		return fmt.Errorf("namespaces %s are there and not this scenario's (they do not carry the label %s): %w; use --cluster lab or another cluster, or put the scenario's objects beside what is there with --adopt-namespaces",
			strings.Join(namespaces, ", "), mark, ErrNotOurs)
	case len(taken) > 0:
		return fmt.Errorf("%s: there, and not this scenario's (no label %s): %w; a scenario never overwrites what it did not create: use --cluster lab or another cluster",
			strings.Join(taken, "; "), mark, ErrNotOurs)
	}
	return nil
}

// without lists the labels that a scenario gives a namespace and that one does not
// have. Our own mark is not asked for: what is adopted is not changed.
func without(have, want map[string]string) (lacks []string) {
	for key, value := range want {
		if key != v1alpha1.LabelScenario && have[key] != value {
			lacks = append(lacks, key+"="+value)
		}
	}
	slices.Sort(lacks)
	return lacks
}

// mayUse refuses a cluster that has another version of Tightrope: what a scenario
// would then prove is that version's. The same one is used as it is.
func mayUse(ctx context.Context, o Options) error {
	there, found, err := install.Installed(ctx, o.Config)
	if err != nil || !found {
		return err
	}
	if there == o.Deploy.Version {
		return forOne(ctx, o)
	}
	return fmt.Errorf("this cluster has another version of Tightrope, %q, and this is %q: %w; tightrope upgrade replaces it, or use --cluster lab", there, o.Deploy.Version, ErrNotOurs)
}

// forOne refuses a cluster where rollouts have to name an account: those of a scenario
// are made as the controller.
func forOne(ctx context.Context, o Options) error {
	single, err := install.SingleTenant(ctx, o.Config)
	if err != nil || single {
		return err
	}
	return fmt.Errorf("another kind of Tightrope is installed there: it is for tenants, and a scenario's rollout names no service account: %w; use --cluster lab, or tightrope upgrade --single-tenant where nobody else makes rollouts", ErrNotOurs)
}

// stored reads the object of that name; nil: there is none, nor its kind.
func stored(ctx context.Context, c client.Client, o client.Object) (*unstructured.Unstructured, error) {
	u, err := toUnstructured(c, o)
	if err != nil {
		return nil, err
	}
	err = c.Get(ctx, client.ObjectKeyFromObject(u), u)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, client.ObjectKeyFromObject(o), err)
	}
	return u, nil
}

// put creates the object, or applies it over what a scenario of the same root
// created. What others created meanwhile is theirs.
func (s *Scenario) put(ctx context.Context, c client.Client, o client.Object, adopt bool) error {
	have, err := stored(ctx, c, o)
	kind := o.GetObjectKind().GroupVersionKind().Kind
	switch {
	case err != nil:
		return err
	case have != nil && s.made(have):
		return applyObject(ctx, c, o)
	case have == nil:
		err = c.Create(ctx, o, client.FieldOwner(fieldManager))
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
		} else if err == nil {
			return nil
		}
	}
	if kind == "Namespace" && adopt {
		return nil
	}
	return fmt.Errorf("%s %s was created by somebody else meanwhile; it was not overwritten", kind, client.ObjectKeyFromObject(o))
}
