package steer

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// pin writes into a rollout that is to be applied the digests of what it names, as it would
// be stored with it. What is in the cluster only may be somebody else's doing: that takes a
// digest that the author states, or that the rollout has had. Whichever it is must be right.
// A rollout that names no account is not pinned: nobody's rights are lent with it, and a
// suite that is edited would make another run of it.
func (s *Steerer) pin(ctx context.Context, u *unstructured.Unstructured, would stored) error {
	if u.GetKind() != "PolicyRollout" {
		return nil
	}
	var ro v1alpha1.PolicyRollout
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &ro); err != nil {
		return fmt.Errorf("rollout %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	sources, err := s.sources(ctx, &ro, would)
	if err != nil {
		return err
	}
	if err := differing(&ro, sources); err != nil || ro.Spec.ServiceAccountName == "" {
		return err
	}
	if err := s.accepted(ctx, &ro, sources, would); err != nil {
		return err
	}
	suites, _, err := unstructured.NestedSlice(u.Object, "spec", "suites")
	if err != nil {
		return fmt.Errorf("rollout %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	for i := range suites {
		suites[i].(map[string]any)["digest"] = sources[i].Digest // it was read as one above
	}
	if err := unstructured.SetNestedSlice(u.Object, suites, "spec", "suites"); err != nil || ro.Spec.Policies.ConfigMapRef == nil {
		return err
	}
	return unstructured.SetNestedField(u.Object, sources[len(suites)].Digest, "spec", "policies", "configMapRef", "digest")
}

// accepted refuses sources of the cluster that neither the rollout that is to be applied nor
// the one that is stored states: a digest that nobody has looked at pins nothing. One that
// was stored with another account speaks for that one.
func (s *Steerer) accepted(ctx context.Context, ro *v1alpha1.PolicyRollout, sources []v1alpha1.Source, would stored) error {
	var before v1alpha1.PolicyRollout
	if err := client.IgnoreNotFound(s.get(ctx, "PolicyRollout", client.ObjectKeyFromObject(ro), &before)); err != nil {
		return err
	}
	had := map[v1alpha1.Source]bool{}
	if before.Spec.ServiceAccountName == ro.Spec.ServiceAccountName {
		for _, ref := range before.Spec.Suites {
			had[v1alpha1.Source{Kind: "ConnectivitySuite", Name: ref.Name, Digest: ref.Digest}] = true
		}
		if ref := before.Spec.Policies.ConfigMapRef; ref != nil {
			had[v1alpha1.Source{Kind: configMapKind.Kind, Name: ref.Name, Digest: ref.Digest}] = true
		}
	}
	for i, digest := range stated(ro) {
		source := sources[i]
		_, given := would[sourceKey{source.Kind, client.ObjectKey{Namespace: ro.Namespace, Name: source.Name}}]
		if given || digest != "" || had[source] {
			continue
		}
		return fmt.Errorf("%w: %s %s is in none of the files, and rollout %s/%s has not been applied with what is in the cluster (%s): look at that, and give its file as well, or state its digest, which tightrope rollout digest prints",
			ErrRefused, source.Kind, source.Name, ro.Namespace, ro.Name, source.Digest)
	}
	return nil
}

// stated are the digests that a rollout states, in the order of its sources; empty where
// it states none.
func stated(ro *v1alpha1.PolicyRollout) []string {
	var all []string
	for _, ref := range ro.Spec.Suites {
		all = append(all, ref.Digest)
	}
	if ref := ro.Spec.Policies.ConfigMapRef; ref != nil {
		all = append(all, ref.Digest)
	}
	return all
}

// differing refuses digests that are not those of the sources.
func differing(ro *v1alpha1.PolicyRollout, sources []v1alpha1.Source) error {
	for i, digest := range stated(ro) {
		if source := sources[i]; digest != "" && digest != source.Digest {
			return fmt.Errorf("%w: rollout %s/%s states digest %s of %s %s, which has %s: look at what was changed, and state the new digest, which tightrope rollout digest prints",
				ErrRefused, ro.Namespace, ro.Name, digest, source.Kind, source.Name, source.Digest)
		}
	}
	return nil
}

// Pins are the digests of what a rollout names.
type Pins struct {
	Rollout string // namespace/name
	Suites  []v1alpha1.SuiteRef
	// ConfigMap is nil where the policies are in the rollout itself.
	ConfigMap *v1alpha1.ConfigMapRef
}

// Pins reads what a rollout of the cluster names.
func (s *Steerer) Pins(ctx context.Context, ro *v1alpha1.PolicyRollout) (Pins, error) {
	sources, err := s.sources(ctx, ro, nil)
	return pinsOf(ro, sources), err
}

// Pins are those of the rollouts of the input. It must hold what they name: no cluster is
// asked.
func (in *Input) Pins() ([]Pins, error) {
	written := stored{}
	for _, u := range in.Objects {
		if u.GetKind() == "PolicyRollout" {
			continue
		}
		if err := written.add(u); err != nil {
			return nil, err
		}
	}
	var all []Pins
	for _, r := range in.rollouts {
		sources, err := sourcesOf(r.Object, func(key sourceKey) (v1alpha1.Source, error) {
			source, ok := written[key]
			if !ok {
				return source, fmt.Errorf("%w: %s %s, which rollout %s/%s names, is in none of the files: give its file as well", ErrNotFound, key.kind, key.ObjectKey, r.Namespace, r.Object.Name)
			}
			return source, nil
		})
		if err != nil {
			return nil, err
		}
		all = append(all, pinsOf(r.Object, sources))
	}
	return all, nil
}

func pinsOf(ro *v1alpha1.PolicyRollout, sources []v1alpha1.Source) Pins {
	p := Pins{Rollout: ro.Namespace + "/" + ro.Name}
	for _, source := range sources {
		if source.Kind == configMapKind.Kind {
			p.ConfigMap = &v1alpha1.ConfigMapRef{Name: source.Name, Digest: source.Digest}
		} else {
			p.Suites = append(p.Suites, v1alpha1.SuiteRef{Name: source.Name, Digest: source.Digest})
		}
	}
	return p
}
