package lint

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// An edit is made in several trees: in the one that is printed and the one that
// is written. What it does in one reaches no other.
func TestEditsOfSeveralTreesShareNothing(t *testing.T) {
	rule := ruleNode("from", []*yaml.Node{labelsNode(map[string]string{"a": "b"})}, port{80, tcp})
	for name, e := range map[string]edit{
		"add to a list":     add(at("spec", "ingress"), rule),
		"add a list":        add(at("spec", "egress"), rule),
		"set what is there": set(at("spec", "podSelector"), rule),
	} {
		t.Run(name, func(t *testing.T) {
			var trees []*yaml.Node
			for range 2 {
				tree, err := manifest.Parse([]byte("spec:\n  podSelector: {}\n  ingress: [] # none\n"))
				if err != nil {
					t.Fatal(err)
				}
				e(tree)
				trees = append(trees, tree)
			}
			before, err := encode(trees[1], layout{indent: 2})
			if err != nil {
				t.Fatal(err)
			}
			spoil(trees[0])
			after, err := encode(trees[1], layout{indent: 2})
			if err != nil || after != before {
				t.Errorf("%v\n%s\nbecame\n%s", err, before, after)
			}
		})
	}
}

func spoil(n *yaml.Node) {
	n.HeadComment = "spoilt"
	if n.Kind == yaml.ScalarNode {
		n.Value = "spoilt"
	}
	for _, c := range n.Content {
		spoil(c)
	}
}

// A policy that belongs in another namespace is not moved onto one that is there
// already and has its name.
func TestAPolicyIsNotMovedOntoAnother(t *testing.T) {
	const pods = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: ai, name: x, labels: {app: x}}\nspec: {containers: [{name: c, image: x}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {namespace: apps, name: chat, labels: {app: chat}}\nspec: {containers: [{name: c, image: x}]}\n"
	const stray = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ai, name: chat}\nspec: {podSelector: {matchLabels: {app: chat}}, ingress: [{ports: [{port: 80}]}]}\n"
	there := strings.ReplaceAll(stray, "namespace: ai", "namespace: apps")
	for name, tt := range map[string]struct {
		text  string
		moves bool
	}{
		"nothing is there":         {stray, true},
		"one of its name is there": {stray + "---\n" + there, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := the(t, "selects-nothing", check(t, tt.text, pods))
			if moved := strings.Contains(f.Corrected, "namespace: apps"); moved != tt.moves {
				t.Errorf("moved: %v, want %v\n%s", moved, tt.moves, f)
			}
		})
	}
}
