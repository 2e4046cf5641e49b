package manifest

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const policies = `# a comment above
apiVersion: v1
kind: Namespace
metadata: {name: ai}
---
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata:
    name: gateway # the name
    namespace: ai
    labels:
      app.kubernetes.io/name: gateway
  spec:
    podSelector: {}
    egress:
    - to:
      - ipBlock: {cidr: 10.0.0.0/8}
      - namespaceSelector: {}
        # DNS lives here
        podSelector:
          matchLabels: {k8s-app: kube-dns}
`

func TestEveryFieldHasItsPlace(t *testing.T) {
	set, err := ReadStream("-", strings.NewReader(policies), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path         string
		line, column int
	}{
		{"", 9, 3},
		{"metadata.name", 12, 5},
		{"metadata.labels.app.kubernetes.io/name", 15, 7},
		{"metadata.labels[app.kubernetes.io/name]", 15, 7},
		{"spec.egress[0].to[1].podSelector", 23, 9},
		{"spec.egress[0].to[1].podSelector.matchLabels.k8s-app", 24, 25},
		{"spec.egress[0].to[0].ipBlock.cidr", 20, 19},
		{"spec.egress[0].ports[3].port", 19, 7}, // missing: the rule around it
		{"spec.ingress", 16, 3},
	} {
		want := Position{File: "-", Line: tt.line, Column: tt.column}
		if got := set.Where("NetworkPolicy", "ai", "gateway", tt.path); got != want {
			t.Errorf("%q is at %+v, want %+v", tt.path, got, want)
		}
	}
	if got := set.Where("NetworkPolicy", "ai", "other", "spec"); got != (Position{}) {
		t.Errorf("a policy that is not there is at %v", got)
	}
}

func TestAnObjectKeepsItsCommentsAndOrder(t *testing.T) {
	set, err := ReadStream("-", strings.NewReader(policies), Options{})
	if err != nil {
		t.Fatal(err)
	}
	source := set.Objects.NetworkPolicies[0].Source
	out, err := yaml.Marshal(source.Node())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: gateway # the name", "# DNS lives here"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is lost in\n%s", want, out)
		}
	}
	text, line := source.Text()
	if line != 5 || !strings.HasPrefix(string(text), "---\napiVersion: v1\nkind: List") {
		t.Errorf("text from line %d: %.40q", line, text)
	}
	source.Node().Content[0].Value = "changed"
	if source.Node().Content[0].Value != "apiVersion" {
		t.Error("an edit of one Node shows in another")
	}
}

func TestPlacesInJSON(t *testing.T) {
	raw := `{"kind": "PodList", "apiVersion": "v1", "items": [
  {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "é\ud83d\ude00", "ports":
    [{"containerPort": 80}]}]}}, {"metadata": {"name": "b"}, "spec": {"containers": [{"name": "x"}]}}]}
{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}}`
	set, err := ReadStream("-", strings.NewReader(raw), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind, namespace, name, path string
		line, column                int
	}{
		{"Pod", "default", "a", "", 2, 3},
		{"Pod", "default", "a", "spec.containers[0].ports[0].containerPort", 3, 7},
		{"Pod", "default", "b", "metadata.name", 3, 48},
		{"Namespace", "", "default", "metadata", 4, 43},
	} {
		want := Position{File: "-", Line: tt.line, Column: tt.column}
		if got := set.Where(tt.kind, tt.namespace, tt.name, tt.path); got != want {
			t.Errorf("%s %s %q is at %#v, want %#v", tt.kind, tt.name, tt.path, got, want)
		}
	}
	if name := set.Objects.Pods[0].Object.Spec.Containers[0].Name; name != "é😀" {
		t.Errorf("name %q", name)
	}
}

// TestOneStreamInThreeForms is the same platform three times: as documents, as
// a List in YAML and as one in JSON.
func TestOneStreamInThreeForms(t *testing.T) {
	story := stories(t, "testdata/good", 8)["testdata/good/every-workload.txtar"]
	documents := string(story.Files[0].Data)
	var items []yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(documents))
	for {
		var n yaml.Node
		if decoder.Decode(&n) != nil {
			break
		}
		items = append(items, *n.Content[0])
	}
	if len(items) < 10 {
		t.Fatalf("only %d objects", len(items))
	}
	list, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	asJSON := jsonOf(t, list)
	pods := func(text string) string {
		set, err := ReadStream("-", strings.NewReader(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range set.Pods {
			names = append(names, p.Key())
		}
		return strings.Join(names, " ")
	}
	want := pods(documents)
	if got := pods(string(list)); got != want {
		t.Errorf("as a List: %s, want %s", got, want)
	}
	if got := pods(string(asJSON)); got != want {
		t.Errorf("as a List in JSON: %s, want %s", got, want)
	}
}

func TestStdinIsOneOfThePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.yaml", []byte(pod("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := Read([]string{"a.yaml", "-"}, strings.NewReader(pod("b")), Options{Namespace: "ai"})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Pods) != 2 || set.Pods[0].Key() != "ai/a" || set.Where("Pod", "ai", "b", "spec").String() != "-:4" {
		t.Errorf("%+v", set.Pods)
	}
}
