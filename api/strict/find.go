package strict

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Find is where the field of that path stands: the node of its name, of an item
// of a list the item's. Where there is no such field it is the nearest one
// around it, at last n itself; it is nil only if n is. Names of fields may hold
// dots; the names in labels[name] may stand in brackets too.
func Find(n *yaml.Node, path string) *yaml.Node {
	at, _ := find(n, path)
	return at
}

// Value is the value of the field that Find finds.
func Value(n *yaml.Node, path string) *yaml.Node {
	_, value := find(n, path)
	return value
}

func find(n *yaml.Node, path string) (at, value *yaml.Node) {
	at, value = n, n
	for path != "" && value != nil {
		for value.Kind == yaml.AliasNode && value.Alias != nil {
			value = value.Alias
		}
		key, inner, rest := next(value, strings.TrimPrefix(path, "."), 0)
		if inner == nil {
			break
		}
		at, value, path = key, inner, rest
	}
	return at, value
}

// maxMerges bounds how deep merge keys are followed into each other.
const maxMerges = 8

// next takes one step into a value: where it is named, what it is, what of the
// path is left. Of names that fit, the longest counts.
func next(n *yaml.Node, path string, merges int) (key, value *yaml.Node, rest string) {
	if n.Kind == yaml.SequenceNode {
		number, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		if i, err := strconv.Atoi(number); err == nil && strings.HasPrefix(path, "[") && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i], rest
		}
		return nil, nil, ""
	}
	longest := -1
	var merged []*yaml.Node
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		after, ok := cutName(path, Show(name))
		switch {
		case n.Content[i].ShortTag() == "!!merge":
			merged = append(merged, n.Content[i+1])
		case ok && len(name) >= longest: // of one that is stated twice, the last
			longest, key, value, rest = len(name), n.Content[i], n.Content[i+1], after
		}
	}
	if value != nil || merges == maxMerges {
		return key, value, rest
	}
	for _, m := range merged {
		for _, one := range flatten(m) {
			if key, value, rest = next(one, path, merges+1); value != nil {
				return key, value, rest
			}
		}
	}
	return nil, nil, ""
}

func cutName(path, name string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(path, "["+name+"]"); ok {
		return rest, true
	}
	rest, ok = strings.CutPrefix(path, name)
	return rest, ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// flatten is what a merge key names: one mapping, or each of a list.
func flatten(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	all := []*yaml.Node{}
	for _, one := range n.Content {
		if one.Kind == yaml.AliasNode {
			one = one.Alias
		}
		all = append(all, one)
	}
	return all
}
