package steer

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Applied is a rollout that was applied.
type Applied struct {
	Rollout *v1alpha1.PolicyRollout // as it is now
	Changed bool                    // a run is to begin; false: its generation was taken up before

	sources []v1alpha1.Source // what it names, as it is now
}

// Applying says how to apply. The zero value takes over nothing that somebody else
// owns, and tells nobody.
type Applying struct {
	DryRun bool                             // ask the API server what it would say, and store nothing
	Force  bool                             // take over fields that somebody else owns
	Told   func(*unstructured.Unstructured) // hears of each object that is applied, in order; may be nil
}

// options of one write.
func (a Applying) options(more ...client.ApplyOption) []client.ApplyOption {
	if a.Force {
		more = append(more, client.ForceOwnership)
	}
	return append(more, client.FieldOwner(FieldManager))
}

// Apply applies the input on the server's side. Before the first write it has seen that
// everything that is referred to is there, and the API server has accepted every object.
func (s *Steerer) Apply(ctx context.Context, in *Input, how Applying) ([]Applied, error) {
	if err := s.references(ctx, in); err != nil {
		return nil, err
	}
	would := stored{}
	for _, u := range in.Objects {
		if err := s.pin(ctx, u, would); err != nil {
			return nil, err
		}
		now := u.DeepCopy()
		if err := s.apply(ctx, now, how.options(client.DryRunAll)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if err := would.add(now); err != nil {
			return nil, err
		}
	}
	var applied []Applied
	stored := stored{}
	for _, u := range in.Objects {
		now := u.DeepCopy()
		if !how.DryRun {
			rollout, err := s.applyOne(ctx, now, how, stored)
			if err != nil {
				return applied, err
			}
			if rollout != nil {
				applied = append(applied, *rollout)
			}
		}
		if how.Told != nil {
			how.Told(now)
		}
	}
	return applied, nil
}

// applyOne applies an object; of a rollout it tells whether that begins anything.
func (s *Steerer) applyOne(ctx context.Context, u *unstructured.Unstructured, how Applying, stored stored) (*Applied, error) {
	if u.GetKind() != "PolicyRollout" {
		if err := s.apply(ctx, u, how.options()); err != nil {
			return nil, err
		}
		return nil, stored.add(u)
	}
	key := client.ObjectKeyFromObject(u)
	var before, after v1alpha1.PolicyRollout
	if err := client.IgnoreNotFound(s.get(ctx, "PolicyRollout", key, &before)); err != nil {
		return nil, err
	}
	if err := s.apply(ctx, u, how.options()); err != nil {
		return nil, err
	}
	if err := s.get(ctx, "PolicyRollout", key, &after); err != nil {
		return nil, err
	}
	unchanged := after.UID == before.UID && after.Generation == before.Status.ObservedGeneration && before.Status.CurrentRunRef != nil
	sources, err := s.sources(ctx, &after, stored)
	return &Applied{Rollout: &after, Changed: !unchanged, sources: sources}, err
}

func (s *Steerer) apply(ctx context.Context, u *unstructured.Unstructured, opts []client.ApplyOption) error {
	err := s.c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), opts...)
	key := client.ObjectKeyFromObject(u)
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("apply %s %s: %w; somebody else owns these fields, and nothing is taken from him: let him apply the file, as kubectl apply does for whoever used it before, or take the fields over with --force-conflicts", u.GetKind(), key, err)
	case apierrors.IsNotFound(err) && key.Namespace != "":
		return fmt.Errorf("apply %s %s: %w: create the namespace first, or install Tightrope", u.GetKind(), key, err)
	}
	return explain("patch", u.GetKind(), key, err)
}

// references looks up what the rollouts of the input refer to and the input has not.
func (s *Steerer) references(ctx context.Context, in *Input) error {
	var problems []manifest.Problem
	for _, r := range in.rollouts {
		spec := r.Object.Spec
		var paths []v1alpha1.Path
		all := true
		for i, ref := range spec.Suites {
			suite := in.suite(r.Namespace, ref.Name)
			if suite == nil {
				suite = &v1alpha1.ConnectivitySuite{}
				found, err := s.there(ctx, "ConnectivitySuite", r.Namespace, ref.Name, suite)
				if err != nil {
					return err
				} else if !found {
					all = false
					problems = append(problems, faulty(r.Source, missing(fmt.Sprintf("spec.suites[%d].name", i), "ConnectivitySuite", r.Namespace, ref.Name))...)
				}
			}
			paths = append(paths, suite.Spec.Paths...)
		}
		if all {
			problems = append(problems, faulty(r.Source, strict.CheckExceptions("spec.exceptions", spec.Exceptions, paths))...)
		}
		if ref := spec.Policies.ConfigMapRef; ref != nil && !in.has(configMapKind.Kind, r.Namespace, ref.Name) {
			found, err := s.there(ctx, "ConfigMap", r.Namespace, ref.Name, &corev1.ConfigMap{})
			if err != nil {
				return err
			} else if !found {
				problems = append(problems, faulty(r.Source, missing("spec.policies.configMapRef.name", "ConfigMap", r.Namespace, ref.Name))...)
			}
		}
	}
	if len(problems) > 0 {
		return &manifest.Error{Problems: problems}
	}
	return nil
}

func (s *Steerer) there(ctx context.Context, kind, namespace, name string, into client.Object) (bool, error) {
	err := s.get(ctx, kind, client.ObjectKey{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func missing(at, kind, namespace, name string) strict.Faults {
	f := strict.Faults{}
	f.Add(at, "there is no %s %s in the files or in the cluster", kind, strict.Show(namespace+"/"+name))
	return f
}
