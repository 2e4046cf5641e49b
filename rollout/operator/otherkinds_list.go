package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// kindsFresh is how long one discovery serves: many runs that start together
	// ask once, and a kind that was installed before a run is seen by it.
	kindsFresh = 10 * time.Second
	// othersPatience bounds discovery and all lists of one check.
	othersPatience = 30 * time.Second
)

// OtherKinds finds policies of other kinds than NetworkPolicy in the cluster.
type OtherKinds struct {
	discovery interface {
		ServerPreferredResourcesWithContext(context.Context) ([]*metav1.APIResourceList, error)
	}
	objects dynamic.Interface

	unwatched sync.Map // of otherKind: those of which the log says that they cannot be watched

	mu     sync.Mutex // held during a discovery, so that one serves all who wait
	at     time.Time  // of the newest discovery; zero: none
	served servedKinds
}

// servedKinds are the kinds of policies in a cluster.
type servedKinds struct {
	kinds   []otherKind
	unknown []string // why there may be others, in words
}

// otherPolicies is what was found.
type otherPolicies struct {
	found   []otherPolicy
	unknown []string // why there may be others, in words
	hidden  []string // kinds that may not be listed, and what to do about it
}

// doubt is an error if there may be policies that were not found.
func (o otherPolicies) doubt() error {
	if len(o.unknown)+len(o.hidden) == 0 {
		return nil
	}
	return errors.New(strings.Join(slices.Concat(o.unknown, o.hidden), "; "))
}

func newOtherKinds(cfg *rest.Config, via *http.Client) (*OtherKinds, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, via)
	if err != nil {
		return nil, fmt.Errorf("discovery client: %w", err)
	}
	objects, err := dynamic.NewForConfigAndClient(cfg, via)
	if err != nil {
		return nil, fmt.Errorf("client of other policy kinds: %w", err)
	}
	return &OtherKinds{discovery: d, objects: objects}, nil
}

// list reads every policy of another kind that may select pods of the namespaces,
// from the API server, one list per kind.
func (k *OtherKinds) list(ctx context.Context, namespaces []string) (otherPolicies, error) {
	ctx, stop := context.WithTimeout(ctx, othersPatience)
	defer stop()
	served, err := k.discover(ctx)
	if err != nil {
		return otherPolicies{}, err
	}
	all := otherPolicies{unknown: slices.Clone(served.unknown)}
	for _, kind := range served.kinds {
		within := metav1.NamespaceAll
		if kind.namespaced && len(namespaces) == 1 {
			within = namespaces[0]
		}
		found, err := k.listKind(ctx, kind, within)
		switch {
		case apierrors.IsForbidden(err):
			all.hidden = append(all.hidden, kind.forbidden())
		case apierrors.IsNotFound(err):
			k.forget() // it is served no longer, or in another version
			return otherPolicies{}, fmt.Errorf("list %s: %w", kind.GroupResource(), err)
		case err != nil:
			return otherPolicies{}, fmt.Errorf("list %s: %w", kind.GroupResource(), err)
		}
		all.found = append(all.found, found...)
	}
	return all, nil
}

func (k *OtherKinds) listKind(ctx context.Context, kind otherKind, within string) ([]otherPolicy, error) {
	client := k.objects.Resource(kind.GroupVersionResource).Namespace(within)
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) })
	var all []otherPolicy
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		object, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("the list has a %T, want an object", o)
		}
		all = append(all, readPolicy(kind, object))
		return nil
	})
	return all, err
}

func (k otherKind) forbidden() string {
	resources := k.Resource
	if k.Group == calicoServed { // its server asks for rights on the tier too, and leaves out what it does not find them for
		resources += ", tiers, tier." + k.Resource
	}
	return fmt.Sprintf("the cluster serves %s of %s and the controller may not list them, so nobody can tell whether one selects a pod that a bridge opens: "+
		"add the rule {apiGroups: [%s], resources: [%s], verbs: [get, list, watch]} to ClusterRole tightrope-controller", k.kind, k.Group, k.Group, resources)
}

// discover returns the kinds of policies that the cluster serves, at most
// kindsFresh old.
func (k *OtherKinds) discover(ctx context.Context) (servedKinds, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.at.IsZero() && time.Since(k.at) < kindsFresh {
		return k.served, nil
	}
	lists, err := k.discovery.ServerPreferredResourcesWithContext(ctx)
	broken := map[schema.GroupVersion]error{}
	var partly *discovery.ErrGroupDiscoveryFailed
	switch {
	case errors.As(err, &partly):
		broken = partly.Groups
	case err != nil:
		return servedKinds{}, fmt.Errorf("discover which kinds the cluster serves: %w", err)
	}
	served, ignored := policyKinds(lists, broken)
	for _, group := range ignored {
		ctrl.LoggerFrom(ctx).Info("an API group cannot be discovered; taken for none that has policies", "group", group)
	}
	k.served, k.at = served, time.Now()
	return served, nil
}

func (k *OtherKinds) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = time.Time{}
}

// policyKinds picks the kinds of policies. A group that cannot be discovered may
// serve one if its name says so; otherwise it is ignored, and named.
func policyKinds(lists []*metav1.APIResourceList, broken map[schema.GroupVersion]error) (served servedKinds, ignored []string) {
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			served.unknown = append(served.unknown, fmt.Sprintf("API group %q has a name that cannot be read: %v", list.GroupVersion, err))
			continue
		}
		for _, r := range list.APIResources {
			kind := otherKind{gv.WithResource(r.Name), r.Kind, r.Namespaced}
			switch {
			case strings.Contains(r.Name, "/") || !kind.decides():
			case !slices.Contains(r.Verbs, "list"):
				served.unknown = append(served.unknown, fmt.Sprintf("the cluster serves %s of %s without a way to list them, so nobody can tell whether one selects a pod that a bridge opens", kind.kind, kind.Group))
			default:
				served.kinds = append(served.kinds, kind)
			}
		}
	}
	for gv, err := range broken {
		if !mayHavePolicies(gv.Group) {
			ignored = append(ignored, gv.String())
			continue
		}
		served.unknown = append(served.unknown, fmt.Sprintf("API group %s cannot be discovered (%v), so nobody can tell whether it has policies that select a pod that a bridge opens: "+
			"repair the server behind its APIService, or delete the APIService if it is not needed", gv, err))
	}
	slices.SortFunc(served.kinds, func(a, b otherKind) int { return strings.Compare(a.String(), b.String()) })
	slices.Sort(served.unknown)
	slices.Sort(ignored)
	return served, ignored
}

// decides reports whether policies of the kind decide about connections, as far as
// its name tells. NetworkPolicies are understood; Antrea's control plane serves
// what it derives from its other kinds; what Calico stages is not enforced.
func (k otherKind) decides() bool {
	switch k.Group {
	case "networking.k8s.io", "extensions", "controlplane.antrea.io":
		return false
	case "crd.projectcalico.org", calicoServed:
		if strings.HasPrefix(k.kind, "Staged") {
			return false
		}
	}
	return readers[schema.GroupKind{Group: k.Group, Kind: k.kind}] != nil || strings.HasSuffix(k.kind, "NetworkPolicy")
}

// mayHavePolicies reports whether a group may serve a kind of policies: a known
// one, or one with a name that speaks of policies or networks.
func mayHavePolicies(group string) bool {
	for known := range readers {
		if known.Group == group {
			return true
		}
	}
	return strings.Contains(group, "polic") || strings.Contains(group, "network")
}
