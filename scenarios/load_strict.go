package scenarios

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decode fills a value from a YAML node by its json tags, as Kubernetes reads
// YAML, but strictly and with positions: it refuses unknown, repeated and empty
// fields, scalars of another type, and anchors. It notes every problem it finds
// and goes on.
func (p *positions) decode(n *yaml.Node, v reflect.Value, path string) {
	p.lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.add(path, "anchors and aliases are refused, because a few of them can stand for millions of lines: write it out")
	case n.ShortTag() == "!!null":
		p.add(path, "has no value: give it one, or leave the field out")
	case reads(v):
		p.decodeLeaf(n, v, path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		p.decode(n, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		p.decodeStruct(n, v, path)
	case v.Kind() == reflect.Map:
		p.decodeMap(n, v, path)
	case v.Kind() == reflect.Slice:
		p.decodeSlice(n, v, path)
	default:
		p.decodeScalar(n, v, path)
	}
}

// reads reports whether a type has its own reading of JSON, as durations have.
func reads(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(json.Unmarshaler)
	return ok && v.Kind() != reflect.Pointer
}

func (p *positions) decodeStruct(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v)
	p.eachKey(n, path, func(key string, value *yaml.Node, path string) {
		if field, ok := fields[key]; ok {
			p.decode(value, field, path)
			return
		}
		p.add(path, "unknown field%s", didYouMean(key, sortedKeys(fields)))
	})
}

func (p *positions) decodeMap(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	p.eachKey(n, path, func(key string, value *yaml.Node, path string) {
		element := reflect.New(v.Type().Elem()).Elem()
		p.decode(value, element, path)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
	})
}

// eachKey visits the fields of a mapping. Each has a line of its own, that of
// the key, even where its value begins later.
func (p *positions) eachKey(n *yaml.Node, path string, visit func(key string, value *yaml.Node, path string)) {
	if n.Kind != yaml.MappingNode {
		p.add(path, "expected fields, got %s", describe(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		inner := strings.TrimPrefix(path+"."+show(key.Value), ".")
		p.lines[inner] = key.Line
		switch {
		case key.Kind != yaml.ScalarNode || key.Anchor != "":
			p.add(path, "line %d: a field's name must be plain text", key.Line)
		case seen[key.Value]:
			p.add(inner, "is stated twice")
		default:
			seen[key.Value] = true
			visit(key.Value, value, inner)
			p.lines[inner] = key.Line
		}
	}
}

func (p *positions) decodeSlice(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		p.add(path, "expected a list, got %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		p.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// decodeLeaf lets the type read itself.
func (p *positions) decodeLeaf(n *yaml.Node, v reflect.Value, path string) {
	var plain any
	if n.Kind != yaml.ScalarNode {
		p.add(path, "expected a single value, got %s", describe(n))
		return
	}
	if err := n.Decode(&plain); err != nil {
		p.add(path, "%s", show(err.Error()))
		return
	}
	raw, err := json.Marshal(plain)
	if err == nil {
		err = json.Unmarshal(raw, v.Addr().Interface())
	}
	if err != nil {
		p.add(path, "%s is not valid here: %s", show(n.Value), show(err.Error()))
	}
}

func (p *positions) decodeScalar(n *yaml.Node, v reflect.Value, path string) {
	tag := n.ShortTag()
	fits := map[reflect.Kind][]string{
		reflect.String: {"!!str", "!!timestamp"}, reflect.Bool: {"!!bool"},
		reflect.Int32: {"!!int"}, reflect.Int64: {"!!int"}, reflect.Int: {"!!int"},
	}[v.Kind()]
	switch {
	case n.Kind != yaml.ScalarNode || !slices.Contains(fits, tag):
		want, hint := nouns[fits[0]], ""
		if v.Kind() == reflect.String && n.Kind == yaml.ScalarNode {
			hint = ": put it in quotes"
		}
		p.add(path, "expected %s, got %s%s", want, describe(n), hint)
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			p.add(path, "%s is out of range", show(n.Value))
		}
	}
}

var nouns = map[string]string{
	"!!str": "text", "!!int": "a whole number", "!!bool": "true or false",
	"!!float": "a number", "!!timestamp": "a date", "!!null": "nothing",
}

// describe names what a node holds, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	}
	if noun, ok := nouns[n.ShortTag()]; ok {
		return noun + " (" + show(n.Value) + ")"
	}
	return show(n.ShortTag())
}

// fieldsOf maps the names that a struct's json tags give to its fields.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case name == "" && field.Anonymous && strings.Contains(options, "inline"):
			for inner, value := range fieldsOf(v.Field(i)) {
				fields[inner] = value
			}
		case name != "":
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
