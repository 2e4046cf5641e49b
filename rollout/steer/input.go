package steer

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Input is what is to be applied: checked, and as it was written.
type Input struct {
	// Objects are ConfigMaps with policies, then suites, then rollouts: what is referred
	// to goes first.
	Objects []*unstructured.Unstructured
	// Notes say what of the input is not applied.
	Notes []string

	rollouts []manifest.Typed[v1alpha1.PolicyRollout]
	suites   []manifest.Typed[v1alpha1.ConnectivitySuite]
}

// Read reads rollouts, suites and the ConfigMaps that rollouts name, from files,
// directories or stdin ("-"), as strictly as can be without a cluster. Objects without
// a namespace are in the given one; required says that they must not be in another.
// What is wrong is a *manifest.Error with all problems.
func Read(paths []string, stdin io.Reader, namespace string, required bool) (*Input, error) {
	set, err := manifest.Read(paths, stdin, manifest.Options{Use: manifest.ForApply, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	in := &Input{suites: set.Objects.Suites}
	for _, r := range set.Objects.Rollouts {
		in.rollouts = append(in.rollouts, r.Typed)
	}
	var problems []manifest.Problem
	for _, s := range in.suites {
		problems = append(problems, faulty(s.Source, strict.CheckSuite("spec", s.Object.Spec))...)
	}
	for _, r := range in.rollouts {
		problems = append(problems, faulty(r.Source, checkRollout(r.Object))...)
		problems = append(problems, in.checkExceptions(r)...)
	}
	add := func(s manifest.Source) {
		if required && s.Namespace != namespace {
			problems = append(problems, faulty(s, strict.Faults{{Path: "metadata.namespace", What: fmt.Sprintf("%s is not the namespace %s that -n asks for", strict.Show(s.Namespace), strict.Show(namespace))}})...)
		}
		u, err := written(s)
		if err != nil {
			problems = append(problems, manifest.Problem{Position: s.Position, Object: s.String(), Message: err.Error()})
			return
		}
		in.Objects = append(in.Objects, u)
	}
	for _, c := range set.Objects.ConfigMaps {
		add(c.Source)
	}
	for _, s := range in.suites {
		add(s.Source)
	}
	for _, r := range in.rollouts {
		add(r.Source)
	}
	if len(problems) == 0 && len(in.Objects) == 0 {
		problems = append(problems, manifest.Problem{Message: "nothing to apply: the files hold no PolicyRollout and no ConnectivitySuite"})
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b manifest.Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		return nil, &manifest.Error{Problems: problems}
	}
	in.Notes = leftOut(set)
	return in, nil
}

func checkRollout(r *v1alpha1.PolicyRollout) strict.Faults {
	f := strict.CheckRollout("spec", r.Spec)
	if len(r.Name) > strict.MaxRolloutName {
		f.Add("metadata.name", "%s has %d characters: use at most %d, because the names of runs are made from it", strict.Show(r.Name), len(r.Name), strict.MaxRolloutName)
	}
	return f
}

// checkExceptions holds the exceptions of a rollout against its suites, where the input
// has them all; Apply does it where the cluster has some.
func (in *Input) checkExceptions(r manifest.Typed[v1alpha1.PolicyRollout]) []manifest.Problem {
	var paths []v1alpha1.Path
	for _, ref := range r.Object.Spec.Suites {
		s := in.suite(r.Namespace, ref.Name)
		if s == nil {
			return nil
		}
		paths = append(paths, s.Spec.Paths...)
	}
	return faulty(r.Source, strict.CheckExceptions("spec.exceptions", r.Object.Spec.Exceptions, paths))
}

// suite is that of the input; nil: it has none of that name.
func (in *Input) suite(namespace, name string) *v1alpha1.ConnectivitySuite {
	for _, s := range in.suites {
		if s.Namespace == namespace && s.Name == name {
			return s.Object
		}
	}
	return nil
}

// faulty makes problems of faults, with their places.
func faulty(s manifest.Source, faults strict.Faults) []manifest.Problem {
	var all []manifest.Problem
	for _, f := range faults {
		all = append(all, manifest.Problem{Position: s.Where(f.Path), Object: s.String(), Message: f.Path + ": " + f.What})
	}
	return all
}

// serverside are fields of metadata that a server wrote into what is applied again.
var serverside = []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}

// written is the object as its author wrote it. The typed one would state fields that
// he left out, and make them his.
func written(s manifest.Source) (*unstructured.Unstructured, error) {
	n := manifest.Plain(s.Node())
	if n == nil {
		return nil, fmt.Errorf("is too large: write out less with aliases")
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("cannot be written: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := sigsyaml.Unmarshal(text, &u.Object); err != nil {
		return nil, fmt.Errorf("cannot be written: %w", err)
	}
	delete(u.Object, "status")
	for _, field := range serverside {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	u.SetAPIVersion(s.APIVersion)
	u.SetKind(s.Kind)
	u.SetNamespace(s.Namespace)
	return u, nil
}

// leftOut says what of the input is not applied: this is no kubectl, and a policy that
// it applied would be in force at once.
func leftOut(set *manifest.Set) []string {
	var notes []string
	for _, p := range set.Objects.NetworkPolicies {
		notes = append(notes, fmt.Sprintf("%s: %s is not applied, because it would be in force at once: put it into the rollout, inline or in a ConfigMap", p.Position, p.Source))
	}
	others := map[string]int{}
	for _, w := range set.Workloads {
		if w.File != "" {
			others[w.Kind]++
		}
	}
	for kind, n := range map[string]int{
		"Namespace": len(set.Objects.Namespaces), "Service": len(set.Objects.Services), "ClusterNetworkPolicy": len(set.Objects.ClusterPolicies),
	} {
		others[kind] += n
	}
	for _, k := range set.Skipped {
		others[k.Kind] += k.Count
	}
	for kind, n := range others {
		if n > 0 {
			notes = append(notes, fmt.Sprintf("%s: not applied; apply them with kubectl", manifest.Skipped{Kind: kind, Count: n}))
		}
	}
	slices.Sort(notes)
	return notes
}

// has reports whether an object is in the input.
func (in *Input) has(kind, namespace, name string) bool {
	return slices.ContainsFunc(in.Objects, func(u *unstructured.Unstructured) bool {
		return u.GetKind() == kind && u.GetNamespace() == namespace && u.GetName() == name
	})
}

var configMapKind = corev1.SchemeGroupVersion.WithKind("ConfigMap")
