package apply

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// write makes a directory with these files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func configMap(name, annotations string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n"
}

func namesOf(objects []*unstructured.Unstructured) string {
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	return strings.Join(names, " ")
}

func TestReadTakesWhatHelmWrites(t *testing.T) {
	dir := write(t, map[string]string{
		"app/templates/a.yaml": "# Source: app/templates/a.yaml\n" + configMap("a", "") + "---\n---\n" + configMap("b", ""),
		"app/templates/b.yml":  "",
		"hooks.yaml": configMap("migrate", "helm.sh/hook: pre-install") + "---\n" + configMap("both", `helm.sh/hook: "test, post-upgrade"`) +
			"---\n" + configMap("test", "helm.sh/hook: test-success") + "---\n" + configMap("bye", "helm.sh/hook: pre-delete"),
		"list.json":    `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"}},{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"}}]}`,
		"NOTES.txt":    "not: an object",
		".git/x.yaml":  configMap("hidden", ""),
		".hidden.yaml": configMap("hidden", ""),
	})
	objects, err := Read(dir)
	if got := namesOf(objects); err != nil || got != "a b migrate both c d" {
		t.Errorf("%v: %s", err, got)
	}
	if objects, err := Read(filepath.Join(dir, "hooks.yaml")); err != nil || namesOf(objects) != "migrate both" {
		t.Errorf("a file: %v, %s", err, namesOf(objects))
	}
}

func TestReadRefusesWhatCannotBeApplied(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a chart":          {map[string]string{"Chart.yaml": "name: x", "templates/a.yaml": configMap("{{ .x }}", "")}, "is a chart: render it first (helm template"},
		"a kustomization":  {map[string]string{"kustomization.yaml": "resources: []"}, "build it first (kubectl kustomize"},
		"nothing":          {map[string]string{"README.md": "x"}, "there is none in"},
		"no object":        {map[string]string{"a.yaml": "replicas: 3"}, "a.yaml: document 1: it has no apiVersion and kind"},
		"no name":          {map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {}"}, "Pod has no metadata.name"},
		"a key twice":      {map[string]string{"a.yaml": configMap("a", "") + "---\nkind: Pod\nkind: Pod\n"}, "document 2"},
		"what is no YAML":  {map[string]string{"a.yaml": "a: [b"}, "a.yaml: document 1"},
		"a file too large": {map[string]string{"a.yaml": "# " + strings.Repeat("x", maxFile)}, "more than 32 MiB"},
		"too many objects": {map[string]string{"a.yaml": strings.Repeat("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n", maxObjects+1)}, "more than"},
		"an alias that grows": {map[string]string{"a.yaml": "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" +
			"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"}, "a.yaml: document 1"},
	} {
		if _, err := Read(write(t, tt.files)); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %.300v, want %q", name, err, tt.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrInput) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// What others need comes first, whatever the order of the files.
func TestTheOrderOfApplying(t *testing.T) {
	kinds := []string{"Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Service", "NetworkPolicy", "Deployment"}
	for i := range kinds[1:] {
		a, b := &unstructured.Unstructured{}, &unstructured.Unstructured{}
		a.SetKind(kinds[i])
		b.SetKind(kinds[i+1])
		if rank(a) >= rank(b) {
			t.Errorf("%s does not come before %s", kinds[i], kinds[i+1])
		}
	}
}
