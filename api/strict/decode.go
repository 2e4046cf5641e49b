package strict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// maxFaults are gathered at most; a value with more is not read any better.
const maxFaults = 1000

// Dialect says how much of YAML is read. The zero Dialect is the narrowest.
type Dialect struct {
	// Kubectl reads what kubectl reads as it reads it: anchors, aliases and merge
	// keys; null as a field that is absent; and YAML 1.1, where an unquoted yes or
	// off is true or false. Aliases have to be bounded before: see Expansion.
	Kubectl bool
	// Loose are fields of the outermost value which may be unknown, as may what is
	// within them: what another version of the API server reports is no fault.
	// Kubernetes 1.24 to 1.27, for one, gave every NetworkPolicy an empty status.
	Loose []string
}

// Decode fills the value that into points to from a YAML node by its json tags,
// as Kubernetes reads YAML, but strictly: it refuses unknown and repeated fields
// and scalars of another type, and, but for kubectl's dialect, empty fields and
// anchors. It notes every fault that it finds, in the order of the text, and
// goes on.
func Decode(n *yaml.Node, into any, d Dialect) []Fault {
	r := &reader{dialect: d}
	r.decode(n, reflect.ValueOf(into).Elem(), nil)
	return r.faults
}

type reader struct {
	dialect Dialect
	loose   bool // unknown fields are ignored here
	faults  []Fault
}

func (r *reader) add(n *yaml.Node, at *step, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{Path: at.String(), Line: n.Line, Column: n.Column, What: fmt.Sprintf(format, args...)})
	}
}

func (r *reader) decode(n *yaml.Node, v reflect.Value, at *step) {
	if n.Kind == yaml.AliasNode && r.dialect.Kubectl {
		n = n.Alias
	}
	switch {
	case !r.dialect.Kubectl && (n.Kind == yaml.AliasNode || n.Anchor != ""):
		r.add(n, at, "anchors and aliases are refused, because a few of them can stand for millions of lines: write it out")
	case n.ShortTag() == "!!null" && r.dialect.Kubectl:
		// Absent, as the API server has it.
	case n.ShortTag() == "!!null":
		r.add(n, at, "has no value: give it one, or leave the field out")
	case isOpaque(v.Type()):
		if n.Kind != yaml.MappingNode {
			r.add(n, at, "expected fields, got %s", r.describe(n))
		}
	case readsItself(v.Type()):
		r.decodeLeaf(n, v, at)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.decode(n, v.Elem(), at)
	case v.Kind() == reflect.Struct:
		r.decodeStruct(n, v, at)
	case v.Kind() == reflect.Map:
		r.decodeMap(n, v, at)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		r.decodeLeaf(n, v, at) // base64 text
	case v.Kind() == reflect.Slice:
		r.decodeSlice(n, v, at)
	default:
		r.decodeScalar(n, v, at)
	}
}

var (
	opaque = []reflect.Type{reflect.TypeFor[metav1.FieldsV1](), reflect.TypeFor[runtime.RawExtension]()}
	reads  = reflect.TypeFor[json.Unmarshaler]()
)

// gone are fields of earlier versions, and what to write instead.
var gone = map[reflect.Type]map[string]string{
	reflect.TypeFor[v1alpha1.Scope](): {"probePodsOnly": "write mode: Shadow, without a scope, instead of mode: Canary with scope: {probePodsOnly: true}"},
}

// isOpaque reports whether a type holds any fields, and nobody here asks which.
func isOpaque(t reflect.Type) bool { return t == opaque[0] || t == opaque[1] }

// readsItself reports whether a type has its own reading of JSON, as durations have.
func readsItself(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reads)
}

func (r *reader) decodeStruct(n *yaml.Node, v reflect.Value, at *step) {
	fields := fieldsOf(v.Type())
	r.eachKey(n, at, func(key, value *yaml.Node, at *step) {
		loose := r.loose || at.parent == nil && contains(r.dialect.Loose, key.Value)
		if index, ok := fields[key.Value]; ok {
			defer func(was bool) { r.loose = was }(r.loose)
			r.loose = loose
			r.decode(value, v.FieldByIndex(index), at)
		} else if instead := gone[v.Type()][key.Value]; instead != "" {
			r.add(key, at, "this version has no such field: %s", instead)
		} else if !loose {
			r.add(key, at, "unknown field%s", DidYouMean(key.Value, sortedKeys(fields)))
		}
	})
}

func (r *reader) decodeMap(n *yaml.Node, v reflect.Value, at *step) {
	v.Set(reflect.MakeMap(v.Type()))
	r.eachKey(n, at, func(key, value *yaml.Node, at *step) {
		element := reflect.New(v.Type().Elem()).Elem()
		r.decode(value, element, at)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	})
}

// eachKey visits the fields of a mapping, those of merge keys after its own.
func (r *reader) eachKey(n *yaml.Node, at *step, visit func(key, value *yaml.Node, at *step)) {
	if n.Kind != yaml.MappingNode {
		r.add(n, at, "expected fields, got %s", r.describe(n))
		return
	}
	seen := map[string]bool{}
	merged := []*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		inner := at.field(key.Value)
		switch {
		case r.dialect.Kubectl && key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case r.dialect.Kubectl && key.Kind == yaml.ScalarNode && !r.isName(key):
			r.add(key, at, "the name of a field must be text, got %s: put it in quotes", r.describe(key))
		case key.Kind != yaml.ScalarNode || key.Anchor != "" && !r.dialect.Kubectl:
			r.add(n, at, "line %d: a field's name must be plain text", key.Line)
		case seen[key.Value]:
			r.add(key, inner, "is stated twice")
		default:
			seen[key.Value] = true
			visit(key, value, inner)
		}
	}
	for _, m := range merged {
		r.merge(m, at, seen, visit)
	}
}

// merge visits what a merge key brings in and is not stated already.
func (r *reader) merge(n *yaml.Node, at *step, seen map[string]bool, visit func(key, value *yaml.Node, at *step)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, one := range n.Content {
			r.merge(one, at, seen, visit)
		}
	case yaml.MappingNode:
		r.eachKey(n, at, func(key, value *yaml.Node, inner *step) {
			if !seen[key.Value] {
				seen[key.Value] = true
				visit(key, value, inner)
			}
		})
	default:
		r.add(n, at, "a merge key (<<) takes fields, got %s", r.describe(n))
	}
}

func (r *reader) decodeSlice(n *yaml.Node, v reflect.Value, at *step) {
	if n.Kind != yaml.SequenceNode {
		r.add(n, at, "expected a list, got %s", r.describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		r.decode(item, v.Index(i), at.item(i))
	}
}

// step is a path as a list from its end, so that a path costs nothing until
// something is wrong with it.
type step struct {
	parent *step
	name   string
	index  int // of an item, where name is empty
}

func (s *step) field(name string) *step { return &step{parent: s, name: name, index: -1} }
func (s *step) item(i int) *step        { return &step{parent: s, index: i} }

func (s *step) String() string {
	if s == nil {
		return ""
	}
	if s.index >= 0 {
		return fmt.Sprintf("%s[%d]", s.parent, s.index)
	}
	return strings.TrimPrefix(s.parent.String()+"."+Show(s.name), ".")
}
