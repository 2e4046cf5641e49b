package manifest

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

// roster finds out which pod is of which workload.
type roster struct {
	all    []Workload
	known  map[string]int    // by kind/namespace/name
	parent map[string]string // key of a ReplicaSet or Job → key of what owns it
	adopts []adopter
	plans  map[int]plan // of the workloads that can make pods
	pods   []verdict.Pod
	owners []int // by pod: the index of its workload
	ended  int
}

// adopter is a controller that takes pods without one if its selector fits.
type adopter struct {
	workload  string // key
	namespace string
	selector  labels.Selector
	prefix    string // of the names it takes; empty: any
}

// workloads finds the workloads, gives each declared pod to one, and makes pods
// for those that have none.
func (s *Set) workloads(objects raw) {
	r := &roster{known: map[string]int{}, parent: map[string]string{}, plans: map[int]plan{}}
	r.enter(objects)
	for _, p := range objects.Pods {
		if hasEnded(p.Object) {
			r.ended++
			continue
		}
		r.add(declared(p.Object), r.workloadOf(p))
	}
	s.expand(r)
	s.take(r)
	if r.ended > 0 {
		why := "they have ended and have no network any more"
		if r.ended == 1 {
			why = "it has ended and has no network any more"
		}
		s.note(Position{}, "", "%s left out: %s", count(r.ended, "pod"), why)
	}
	referred := 0
	for _, w := range s.Workloads {
		if w.Template == nil {
			referred++
		}
	}
	if referred > 0 {
		s.note(Position{}, "", "%s not in the input, and known from the references of pods only", count(referred, "workload"))
	}
}

func (r *roster) add(p verdict.Pod, workload int) {
	r.pods, r.owners = append(r.pods, p), append(r.owners, workload)
}

// workload enters a workload, or finds it.
func (r *roster) workload(w Workload) int {
	k := key(w.Kind, w.Namespace, w.Name)
	i, ok := r.known[k]
	if !ok {
		i = len(r.all)
		r.known[k], r.all = i, append(r.all, w)
	}
	return i
}

// workloadOf is the workload that a declared pod is of: that of its controller,
// one that would adopt it, or itself.
func (r *roster) workloadOf(p Typed[corev1.Pod]) int {
	if ref := metav1.GetControllerOf(p.Object); ref != nil && ref.Kind != "Node" { // a node's are static pods
		return r.referred(p.Namespace, ref, p.Object.Labels)
	}
	for _, a := range r.adopts {
		if a.namespace == p.Namespace && strings.HasPrefix(p.Name, a.prefix) && a.selector.Matches(labels.Set(p.Object.Labels)) {
			return r.known[a.workload]
		}
	}
	template := &corev1.PodTemplateSpec{ObjectMeta: p.Object.ObjectMeta, Spec: p.Object.Spec}
	return r.workload(Workload{Source: p.Source, Replicas: 1, Template: template})
}

// referred is the workload that a pod's reference leads to. Of a Deployment's
// pod that is a ReplicaSet, named after it and the hash of the template; where
// nobody listed ReplicaSets the name tells.
func (r *roster) referred(namespace string, ref *metav1.OwnerReference, set map[string]string) int {
	kind, name := ref.Kind, ref.Name
	k := key(kind, namespace, name)
	if parent, ok := r.parent[k]; ok {
		return r.known[parent]
	}
	if i, ok := r.known[k]; ok {
		return i
	}
	hash := set["pod-template-hash"]
	if owner, ok := strings.CutSuffix(name, "-"+hash); ok && kind == "ReplicaSet" && hash != "" {
		kind, name = "Deployment", owner
	}
	if owner, _, ok := cutLast(name, "-"); ok && kind == "Job" {
		if _, ok := r.known[key("CronJob", namespace, owner)]; ok {
			kind, name = "CronJob", owner
		}
	}
	return r.workload(Workload{Source: Source{APIVersion: ref.APIVersion, Kind: kind, Namespace: namespace, Name: name}})
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// take sorts everything into the set.
func (s *Set) take(r *roster) {
	order := make([]int, len(r.pods))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(r.pods[a].Namespace, r.pods[b].Namespace), cmp.Compare(r.pods[a].Name, r.pods[b].Name))
	})
	for i, old := range order {
		s.Pods = append(s.Pods, r.pods[old])
		w := &r.all[r.owners[old]]
		w.Pods = append(w.Pods, i)
	}
	for i := range r.all {
		if w := &r.all[i]; w.Template == nil {
			w.Replicas = int32(len(w.Pods))
		}
	}
	s.Workloads = r.all
	slices.SortStableFunc(s.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
}
