package strict

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// decodeLeaf lets the type read itself.
func (r *reader) decodeLeaf(n *yaml.Node, v reflect.Value, at *step) {
	if n.Kind != yaml.ScalarNode {
		r.add(n, at, "expected a single value, got %s", r.describe(n))
		return
	}
	raw, err := r.json(n)
	if err == nil {
		err = json.Unmarshal(raw, v.Addr().Interface())
	}
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &mismatch) && v.Type() == reflect.TypeFor[intstr.IntOrString]():
		r.add(n, at, "expected a whole number of up to 31 bits or text, got %s", r.describe(n))
	default:
		r.add(n, at, "%s is not valid here: %s", Show(n.Value), Show(err.Error()))
	}
}

// json is a scalar as JSON.
func (r *reader) json(n *yaml.Node) ([]byte, error) {
	var plain any
	switch r.tag(n) {
	case "!!str", "!!timestamp":
		plain = n.Value
	case "!!bool":
		plain = isTrue(n.Value)
	default:
		if err := n.Decode(&plain); err != nil {
			return nil, err
		}
	}
	return json.Marshal(plain)
}

func (r *reader) decodeScalar(n *yaml.Node, v reflect.Value, at *step) {
	fits, noun := []string{"!!int"}, nouns["!!int"]
	switch v.Kind() {
	case reflect.String:
		fits, noun = []string{"!!str", "!!timestamp"}, nouns["!!str"]
	case reflect.Bool:
		fits, noun = []string{"!!bool"}, nouns["!!bool"]
	case reflect.Float64:
		fits, noun = []string{"!!int", "!!float"}, nouns["!!float"]
	}
	switch {
	case n.Kind != yaml.ScalarNode || !slices.Contains(fits, r.tag(n)):
		hint := ""
		if v.Kind() == reflect.String && n.Kind == yaml.ScalarNode {
			hint = ": put it in quotes"
		}
		r.add(n, at, "expected %s, got %s%s", noun, r.describe(n), hint)
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		v.SetBool(isTrue(n.Value))
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			r.add(n, at, "%s is out of range", Show(n.Value))
		}
	}
}

// words11 are the words that YAML 1.1, and so kubectl, reads as true and false.
var words11 = []string{"y", "n", "yes", "no", "on", "off"}

// tag is the node's type. An unquoted word of YAML 1.1 is a truth value where
// kubectl reads it: in lower case, upper case, or with a capital.
func (r *reader) tag(n *yaml.Node) string {
	tag := n.ShortTag()
	if tag != "!!str" || !r.dialect.Kubectl || n.Style != 0 || len(n.Value) > 3 {
		return tag
	}
	lower := strings.ToLower(n.Value)
	capital := strings.ToUpper(lower[:min(1, len(lower))]) + lower[min(1, len(lower)):]
	if slices.Contains(words11, lower) && slices.Contains([]string{lower, strings.ToUpper(lower), capital}, n.Value) {
		return "!!bool"
	}
	return tag
}

// isName reports whether kubectl keeps a field's name as it is written. It makes
// a text of whatever stands there: on becomes "true", 0x10 becomes "16".
func (r *reader) isName(n *yaml.Node) bool {
	switch r.tag(n) {
	case "!!str", "!!timestamp":
		return true
	case "!!int":
		i, err := strconv.Atoi(n.Value)
		return err == nil && strconv.Itoa(i) == n.Value
	}
	return false
}

func isTrue(word string) bool {
	return slices.Contains([]string{"y", "yes", "on", "true"}, strings.ToLower(word))
}

var nouns = map[string]string{
	"!!str": "text", "!!int": "a whole number", "!!bool": "true or false",
	"!!float": "a number", "!!timestamp": "a date", "!!null": "nothing",
}

// describe names what a node holds, for messages.
func (r *reader) describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*" + Show(n.Value) + ")"
	}
	if noun, ok := nouns[r.tag(n)]; ok {
		return noun + " (" + Show(n.Value) + ")"
	}
	return Show(n.ShortTag())
}

// fieldIndexes holds what fieldsOf found, by type.
var fieldIndexes sync.Map

// fieldsOf maps the names that a struct's json tags give to its fields.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fieldIndexes.Load(t); ok {
		return known.(map[string][]int)
	}
	fields := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct && (options == "" || strings.Contains(options, "inline")):
			for inner, index := range fieldsOf(f.Type) {
				fields[inner] = append([]int{i}, index...)
			}
		case name != "":
			fields[name] = []int{i}
		}
	}
	fieldIndexes.Store(t, fields)
	return fields
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
