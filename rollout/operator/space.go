package operator

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// spaceKey names what a mirror keeps together and a run follows or does not: a namespace.
// Of Tightrope's own, where every run has objects, those of each run are a space too; the
// one of no run is what is nobody's.
type spaceKey struct{ namespace, run string }

// spaceOf is the space of an object; a Namespace is in the one that it makes.
func spaceOf(o client.Object) spaceKey {
	if _, ok := o.(*corev1.Namespace); ok {
		return spaceKey{namespace: o.GetName()}
	}
	key := spaceKey{namespace: o.GetNamespace()}
	if key.namespace == v1alpha1.SystemNamespace {
		key.run = o.GetLabels()[v1alpha1.LabelRun]
	}
	return key
}

// spacesOf are the spaces that a run looks at: some namespaces, and its own objects in
// Tightrope's.
func spacesOf(run string, namespaces []string) []spaceKey {
	keys := []spaceKey{{v1alpha1.SystemNamespace, run}}
	for _, ns := range namespaces {
		keys = append(keys, spaceKey{namespace: ns})
	}
	return keys
}

// space is what a mirror has of one space.
type space struct {
	namespace *corev1.Namespace // nil: it is not there, or another space is its
	policies  map[string]*networkingv1.NetworkPolicy
	pods      map[string]*corev1.Pod
	services  map[string]*corev1.Service
	slices    map[string]*discoveryv1.EndpointSlice
	revision  uint64 // of the mirror, when its policies or the namespace's labels changed last
	now       *world // of nothing else; nil: something changed since it was last asked for
}

func newSpace() *space {
	return &space{
		policies: map[string]*networkingv1.NetworkPolicy{}, pods: map[string]*corev1.Pod{},
		services: map[string]*corev1.Service{}, slices: map[string]*discoveryv1.EndpointSlice{},
	}
}

// change keeps an object, or lets it go, and reports whether verdicts about pods whose
// labels stay may differ from now on.
func (s *space) change(o client.Object, gone bool) (judges bool) {
	s.now = nil
	switch o := o.(type) {
	case *corev1.Namespace:
		was := s.namespace
		if s.namespace = o; gone {
			s.namespace = nil
		}
		return gone || was == nil || !maps.Equal(was.Labels, o.Labels) || was.UID != o.UID
	case *networkingv1.NetworkPolicy:
		keep(s.policies, o, gone)
		return true
	case *corev1.Pod:
		keep(s.pods, o, gone)
	case *corev1.Service:
		keep(s.services, o, gone)
	case *discoveryv1.EndpointSlice:
		keep(s.slices, o, gone)
	}
	return false
}

func keep[T client.Object](objects map[string]T, o T, gone bool) {
	if gone {
		delete(objects, o.GetName())
	} else {
		objects[o.GetName()] = o
	}
}

// empty reports whether nothing is left of the space.
func (s *space) empty() bool {
	return s.namespace == nil && len(s.policies)+len(s.pods)+len(s.services)+len(s.slices) == 0
}

// world is the space alone.
func (s *space) world(namespace string) *world {
	if s.now != nil {
		return s.now
	}
	w := newWorld()
	w.revisions = map[string]uint64{namespace: s.revision}
	if s.namespace != nil {
		w.verdict.Namespaces[namespace] = s.namespace.Labels
	}
	for _, np := range s.policies {
		w.policies, w.verdict.Policies = append(w.policies, *np), append(w.verdict.Policies, verdict.PolicyOf(np))
	}
	for name, pod := range s.pods {
		w.pods[types.NamespacedName{Namespace: namespace, Name: name}] = pod
	}
	for name, service := range s.services {
		w.services[types.NamespacedName{Namespace: namespace, Name: name}] = service
	}
	for _, slice := range s.slices {
		service := types.NamespacedName{Namespace: namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
		w.slices[service] = append(w.slices[service], slice)
	}
	s.now = w
	return w
}

// join is a world of several. Two of one namespace have the newer one's revision: a mirror
// counts for all its spaces.
func join(parts []*world) *world {
	w := newWorld()
	w.mirrored, w.parts, w.revisions = true, parts, make(map[string]uint64, len(parts))
	for _, part := range parts {
		maps.Copy(w.verdict.Namespaces, part.verdict.Namespaces)
		w.policies = append(w.policies, part.policies...)
		w.verdict.Policies = append(w.verdict.Policies, part.verdict.Policies...)
		maps.Copy(w.pods, part.pods)
		maps.Copy(w.services, part.services)
		for service, slices := range part.slices { // a Service of Tightrope's namespace may have some in two parts
			w.slices[service] = append(w.slices[service], slices...)
		}
		for ns, revision := range part.revisions {
			w.revisions[ns] = max(w.revisions[ns], revision)
		}
	}
	return w
}
