package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/rollout/operator"
	"github.com/tightrope-dev/tightrope/rollout/preview"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// preflight runs the controller's preflight on a cluster, for a rollout that is among
// files, as far as it writes nothing.
func (o *planOptions) preflight(ctx context.Context, cluster, files *manifest.Set, r manifest.Rollout) (preview.Preflight, error) {
	cfg, _, err := existing.ConnectAs(ctx, o.kubeconfig, o.context)
	if err != nil {
		return preview.Preflight{}, err
	}
	var unseen []string
	single, err := install.SingleTenant(ctx, cfg)
	if err != nil {
		single = true // of the other kind, a rollout that names no account would be refused
		unseen = append(unseen, fmt.Sprintf("whether Tightrope is installed for tenants, so that a rollout has to name a service account: %v", err))
	}
	found, err := operator.Foresee(ctx, cfg, seenBy(cluster), madeOf(files, r), single)
	if err != nil {
		return preview.Preflight{}, err
	}
	p := preview.Preflight{Refused: found.Refused, Repairs: found.Repairs, Unseen: append(unseen, found.Unseen...)}
	for _, c := range found.Cuts {
		p.Cuts = append(p.Cuts, preview.PreflightCut{Path: c.Path, Rule: c.Rule, Add: c.Add})
	}
	return p, nil
}

// seenBy is a set that was read from a cluster as the controller has it.
func seenBy(set *manifest.Set) operator.Cluster {
	return operator.Cluster{
		Namespaces: objects[corev1.Namespace](set.Objects.Namespaces), Policies: objects[networkingv1.NetworkPolicy](set.Objects.NetworkPolicies),
		Pods: objects[corev1.Pod](set.Objects.Pods), Services: objects[corev1.Service](set.Objects.Services),
		Slices: objects[discoveryv1.EndpointSlice](set.Objects.EndpointSlices),
	}
}

func objects[T any](all []manifest.Typed[T]) []T {
	out := make([]T, 0, len(all))
	for _, o := range all {
		out = append(out, *o.Object)
	}
	return out
}

// madeOf is a rollout of the set with its suites and its ConfigMap. A manifest may leave
// its namespace out.
func madeOf(set *manifest.Set, r manifest.Rollout) operator.Made {
	made := operator.Made{Rollout: r.Object.DeepCopy()}
	made.Rollout.Namespace = r.Namespace
	for _, s := range set.Objects.Suites {
		suite := s.Object.DeepCopy()
		suite.Namespace = s.Namespace
		made.Suites = append(made.Suites, *suite)
	}
	for _, c := range set.Objects.ConfigMaps {
		cm := c.Object.DeepCopy()
		cm.Namespace = c.Namespace
		made.ConfigMaps = append(made.ConfigMaps, *cm)
	}
	return made
}
