package manifest

import (
	"cmp"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// dialect is how manifests are read. What a cluster reports in status may be
// newer than the types here.
var dialect = strict.Dialect{Kubectl: true, Loose: []string{"status"}}

// cluster reads objects that have no namespace.
func cluster[T any](list func(*raw) *[]Typed[T], check func(*T) strict.Faults) func(*reading, Source, *yaml.Node) {
	return func(r *reading, at Source, n *yaml.Node) { readInto(r, at, n, "", list(&r.raw), check) }
}

// namespaced reads objects that are in a namespace.
func namespaced[T any](list func(*raw) *[]Typed[T], check func(*T) strict.Faults) func(*reading, Source, *yaml.Node) {
	return func(r *reading, at Source, n *yaml.Node) {
		readInto(r, at, n, r.options.Namespace, list(&r.raw), check)
	}
}

// readInto reads one object strictly and, if all is right with it, keeps it. An
// empty namespace says that the kind has none; the API server drops one that is
// stated all the same.
func readInto[T any](r *reading, at Source, n *yaml.Node, namespace string, list *[]Typed[T], check func(*T) strict.Faults) {
	object := new(T)
	faults := strict.Faults(strict.Decode(n, object, dialect))
	meta := any(object).(metav1.Object)
	if namespace != "" {
		if meta.GetNamespace() == "" {
			r.unnamed++
		}
		namespace = cmp.Or(meta.GetNamespace(), namespace)
	}
	meta.SetNamespace(namespace)
	if meta.GetName() == "" {
		meta.SetName(strings.TrimRight(meta.GetGenerateName(), "-."))
	}
	at.Namespace, at.Name = meta.GetNamespace(), meta.GetName()
	if len(faults) == 0 {
		faults = checkMeta(at.Kind, meta)
		if check != nil {
			faults = append(faults, check(object)...)
		}
	}
	if r.faulty(at, n, faults) || !r.keep(at, object) {
		return
	}
	*list = append(*list, Typed[T]{Source: at, Object: object})
}

// faulty notes the faults of an object as problems.
func (r *reading) faulty(at Source, n *yaml.Node, faults []strict.Fault) bool {
	for _, f := range faults {
		where := &yaml.Node{Line: f.Line, Column: f.Column}
		if f.Line == 0 {
			where = strict.Find(n, f.Path)
		}
		what := f.What
		if f.Path != "" {
			what = f.Path + ": " + what
		}
		r.fault(at.Kind, at.document.position(where), at.subject(), "%s", what)
	}
	return len(faults) > 0
}

// subject names the object in messages, as far as it has a name.
func (s Source) subject() string {
	if s.Name == "" {
		return strict.Show(s.Kind)
	}
	return s.String()
}

// keep enters an object, unless it is there already. The same object in two files,
// as a Namespace often is, says nothing new; of a NetworkPolicy, somebody would
// correct one and forget the other.
func (r *reading) keep(at Source, object any) bool {
	k := key(at.Kind, at.Namespace, at.Name)
	first, ok := r.sources[k]
	switch {
	case !ok:
		r.sources[k], r.kept[k] = at, object
		return true
	case at.Kind != "NetworkPolicy" && equality.Semantic.DeepEqual(r.kept[k], object):
		r.note(at.Position, at.subject(), "is the same as at %s", first.Position)
	default:
		r.twice(at, first.Position)
	}
	return false
}

// checkMeta holds metadata against the rules for names and labels. Names of
// Namespaces and Services are part of DNS names; the others may hold dots.
func checkMeta(kind string, meta metav1.Object) strict.Faults {
	f := strict.Faults{}
	syntax := validation.IsDNS1123Subdomain
	if kind == "Namespace" || kind == "Service" {
		syntax = validation.IsDNS1123Label
	}
	if name := meta.GetName(); name == "" {
		f.Add("metadata.name", "is missing: give it a name")
	} else if why := syntax(name); len(why) > 0 {
		f.Add("metadata.name", "%q is not a name: %s", strict.Show(name), strict.Brief(why[0]))
	}
	if ns := meta.GetNamespace(); ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
		f.Add("metadata.namespace", "%q is not the name of a namespace: use lower-case letters, digits and dashes", strict.Show(ns))
	}
	f.Labels("metadata.labels", meta.GetLabels())
	return f
}

func index(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }
