package steer

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// A rollout names its suites and its ConfigMap, and its generation stays the same when
// somebody changes these. So whether a run tries what was applied is not for the
// generation to say: what its plan was made of is held against what was stored.

// stored are the sources among what was applied, as the API server stored them.
type stored map[sourceKey]v1alpha1.Source

type sourceKey struct {
	kind string
	client.ObjectKey
}

// add notes an object after it was applied. Reading it again later could show what
// somebody else has made of it.
func (all stored) add(u *unstructured.Unstructured) error {
	var source v1alpha1.Source
	var err error
	switch u.GetKind() {
	case "ConnectivitySuite":
		var suite v1alpha1.ConnectivitySuite
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &suite)
		source = v1alpha1.SuiteSource(&suite)
	case configMapKind.Kind:
		var cm corev1.ConfigMap
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &cm)
		source = v1alpha1.ConfigMapSource(&cm)
	}
	if err != nil {
		return fmt.Errorf("%s %s/%s as the API server stored it: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	all[sourceKey{u.GetKind(), client.ObjectKeyFromObject(u)}] = source
	return nil
}

// sources are what a rollout names: as it was applied with it, or as it is in the cluster.
func (s *Steerer) sources(ctx context.Context, ro *v1alpha1.PolicyRollout, stored stored) ([]v1alpha1.Source, error) {
	return sourcesOf(ro, func(key sourceKey) (v1alpha1.Source, error) {
		if source, ok := stored[key]; ok {
			return source, nil
		}
		return s.source(ctx, key)
	})
}

// source reads one from the cluster.
func (s *Steerer) source(ctx context.Context, key sourceKey) (v1alpha1.Source, error) {
	if key.kind == configMapKind.Kind {
		var cm corev1.ConfigMap
		err := s.get(ctx, key.kind, key.ObjectKey, &cm)
		return v1alpha1.ConfigMapSource(&cm), err
	}
	var suite v1alpha1.ConnectivitySuite
	err := s.get(ctx, key.kind, key.ObjectKey, &suite)
	return v1alpha1.SuiteSource(&suite), err
}

// sourcesOf finds the suites of a rollout, in order, and then its ConfigMap.
func sourcesOf(ro *v1alpha1.PolicyRollout, find func(sourceKey) (v1alpha1.Source, error)) ([]v1alpha1.Source, error) {
	var keys []sourceKey
	for _, ref := range ro.Spec.Suites {
		keys = append(keys, sourceKey{"ConnectivitySuite", client.ObjectKey{Namespace: ro.Namespace, Name: ref.Name}})
	}
	if ref := ro.Spec.Policies.ConfigMapRef; ref != nil {
		keys = append(keys, sourceKey{configMapKind.Kind, client.ObjectKey{Namespace: ro.Namespace, Name: ref.Name}})
	}
	var all []v1alpha1.Source
	for _, key := range keys {
		source, err := find(key)
		if err != nil {
			return nil, err
		}
		all = append(all, source)
	}
	return all, nil
}

// Differs says in words why a run is not of what was applied; empty: it is, or it has
// no plan so far. What a run does not say counts as another thing.
func (a *Applied) Differs(run *v1alpha1.PolicyRolloutRun) string {
	if run.Status.PlanDigest == "" {
		return ""
	}
	of := map[[2]string]string{}
	for _, source := range run.Status.Sources {
		of[[2]string{source.Kind, source.Name}] = source.Digest
	}
	var other []string
	for _, source := range a.sources {
		switch digest, ok := of[[2]string{source.Kind, source.Name}]; {
		case !ok:
			other = append(other, fmt.Sprintf("it does not say with which %s %s it was planned, as a controller of this version does", source.Kind, source.Name))
		case digest != source.Digest:
			other = append(other, fmt.Sprintf("it was planned with another %s %s than was applied", source.Kind, source.Name))
		}
	}
	return strings.Join(other, ", and ")
}
