package operator

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// ServedKind is a kind of policies, besides NetworkPolicy, that a cluster serves.
type ServedKind struct {
	Kind, Group string
	Objects     int    // how many there are; -1: not known
	Why         string // they are not known; empty: they are
	// Understood says that a rollout reads which pods a policy of the kind selects. Of
	// another kind any policy may select every pod.
	Understood bool
}

// PolicyKinds lists the kinds of policies that a cluster serves, with the caller's
// credentials. Unknown are the reasons why there may be others.
func PolicyKinds(ctx context.Context, cfg *rest.Config) (kinds []ServedKind, unknown []string, err error) {
	via, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("client of other policy kinds: %w", err)
	}
	defer via.CloseIdleConnections()
	k, err := newOtherKinds(cfg, via)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithTimeout(ctx, othersPatience)
	defer stop()
	served, err := k.discover(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, kind := range served.kinds {
		s := ServedKind{Kind: kind.kind, Group: kind.Group, Understood: readers[schema.GroupKind{Group: kind.Group, Kind: kind.kind}] != nil}
		found, err := k.listKind(ctx, kind, metav1.NamespaceAll)
		if s.Objects = len(found); err != nil {
			s.Objects, s.Why = -1, err.Error()
			if apierrors.IsForbidden(err) {
				s.Why = "you may not list them"
			}
		}
		kinds = append(kinds, s)
	}
	return kinds, served.unknown, nil
}
