package kustomize

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: model}\nspec: {containers: [{name: c, image: i}]}\n"

// tree writes files, and finds the tree of their directory.
func tree(t *testing.T, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	roots := Roots(dir, Find(dir))
	if len(roots) != 1 {
		t.Fatalf("%d roots: %+v", len(roots), roots)
	}
	return roots[0]
}

// Nothing is fetched, whatever field names it: what can be left out is told, and
// else the build is refused.
func TestNothingIsFetchedOrRun(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, pod)
	}))
	defer server.Close()
	url := server.URL + "/pod.yaml"
	for field, left := range map[string]bool{
		"resources: [pod.yaml, " + url + "]":                                                                true,
		"resources: [pod.yaml]\nbases: [" + url + "]":                                                       true,
		"resources: [pod.yaml, " + server.URL + "/owner/repo.git]":                                          true,
		"resources: [pod.yaml, 'git@127.0.0.1:owner/repo']":                                                 true,
		"resources: [pod.yaml, GitHub.com/owner/repo]":                                                      true,
		"resources: [pod.yaml, 'file:///srv/repo']":                                                         true,
		"resources: [pod.yaml]\ncomponents: ['git::https://127.0.0.1/owner/repo']":                          true,
		"resources: [pod.yaml]\npatches: [{path: '" + url + "'}]":                                           false,
		"resources: [pod.yaml]\npatchesStrategicMerge: ['" + url + "']":                                     false,
		"resources: [pod.yaml]\npatchesJson6902: [{path: '" + url + "', target: {kind: Pod}}]":              false,
		"resources: [pod.yaml]\nreplacements: [{path: '" + url + "'}]":                                      false,
		"resources: [pod.yaml]\ncrds: ['" + url + "']":                                                      false,
		"resources: [pod.yaml]\nconfigurations: ['" + url + "']":                                            false,
		"resources: [pod.yaml]\nopenapi: {path: '" + url + "'}":                                             false,
		"resources: [pod.yaml]\nconfigMapGenerator: [{name: m, files: ['a=" + url + "']}]":                  false,
		"resources: [pod.yaml]\nconfigMapGenerator: [{name: m, envs: ['" + url + "']}]":                     false,
		"resources: [pod.yaml]\nsecretGenerator: [{name: m, envs: ['" + url + "']}]":                        false,
		"resources: [pod.yaml]\ngenerators: [plugin.yaml]":                                                  false,
		"resources: [pod.yaml]\ntransformers: [plugin.yaml]":                                                false,
		"resources: [pod.yaml]\nvalidators: [plugin.yaml]":                                                  false,
		"resources: [pod.yaml]\nhelmCharts: [{name: redis, repo: '" + server.URL + "', version: 1.0.0}]":    false,
		"resources: [pod.yaml]\nhelmChartInflationGenerator: [{chartName: r, chartRepoUrl: '" + url + "'}]": false,
	} {
		objects, got, err := Build(tree(t, map[string]string{"kustomization.yaml": field, "pod.yaml": pod, "plugin.yaml": pod}), Options{})
		switch {
		case left && (err != nil || len(got) != 1 || len(objects) != 1):
			t.Errorf("%s: %v, %d objects, left out %q", field, err, len(objects), got)
		case !left && err == nil:
			t.Errorf("%s is built", field)
		case !left && strings.HasPrefix(err.Error(), "kustomize says"):
			t.Errorf("%s is not refused beforehand: %v", field, err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Generators and transformers that are kustomize's own run no program.
func TestWhatIsPartOfKustomizeIsBuilt(t *testing.T) {
	const prefix = "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: eu-\nfieldSpecs: [{path: metadata/name}]\n"
	for text, want := range map[string]bool{
		prefix: true,
		strings.Replace(prefix, "builtin", "example.org/v1", 1):                                    false,
		strings.Replace(prefix, "kind: PrefixTransformer", "kind: HelmChartInflationGenerator", 1): false,
		prefix + "note: https://example.org/a.yaml\n":                                              false,
		prefix + "---\napiVersion: v1\nkind: Pod\n":                                                false,
		"": false,
	} {
		objects, _, err := Build(tree(t, map[string]string{"kustomization.yaml": "resources: [pod.yaml]\ntransformers: [t.yaml]", "pod.yaml": pod, "t.yaml": text}), Options{})
		if (err == nil) != want || want && objects[0].Name != "eu-model" {
			t.Errorf("%q: %v, %+v", text, err, objects)
		}
	}
}

// An object is named as the cluster will have it, and by the file that it is of.
func TestAnObjectKnowsItsOrigin(t *testing.T) {
	root := tree(t, map[string]string{
		"prod/kustomization.yaml": "resources: [../base]\nnamePrefix: eu-\nnamespace: prod\nconfigMapGenerator: [{name: m, literals: [a=b]}]\nsecretGenerator: [{name: s, envs: [missing.env]}]",
		"base/Kustomization":      "resources: [deep/pod.yaml]", "base/deep/pod.yaml": pod,
	})
	objects, _, err := Build(root, Options{})
	if err != nil || len(objects) != 3 {
		t.Fatalf("%v, %d objects", err, len(objects))
	}
	dir := filepath.Dir(root.Dir)
	want := Object{Kind: "Pod", Namespace: "prod", Name: "eu-model", Origin: filepath.Join(dir, "base", "deep", "pod.yaml")}
	got := objects[0]
	if strings.Contains(string(got.Text), "annotations") {
		t.Errorf("its origin is left in it:\n%s", got.Text)
	}
	if got.Text = nil; got.Kind != want.Kind || got.Namespace != want.Namespace || got.Name != want.Name || got.Origin != want.Origin {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if objects[1].Kind != "ConfigMap" || objects[1].Origin != root.File {
		t.Errorf("got %+v", objects[1])
	}
}

// What is hostile is refused in one line, and in bounded time.
func TestHostileTreesAreRefused(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 10), ", ") + "]\n"
	}
	for name, files := range map[string]map[string]string{
		"a bomb of aliases":     {"kustomization.yaml": "resources: [a.yaml]", "a.yaml": pod + bomb},
		"one without an ending": {"kustomization.yaml": "resources: [a]", "a": pod + bomb},
		"a long file":           {"kustomization.yaml": "resources: [a.yaml]", "a.yaml": pod + "# " + strings.Repeat("x", 2000)},
		"what is above":         {"kustomization.yaml": "resources: [../../../../../../etc/hostname]"},
		"a file from elsewhere": {"kustomization.yaml": "resources: [/etc/hostname]"},
		"a page of text":        {"kustomization.yaml": "resources: [a.yaml]", "a.yaml": strings.Repeat("password: [", 150)},
	} {
		objects, _, err := Build(tree(t, files), Options{MaxFile: 2000})
		if err == nil || len(objects) > 0 || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: %d objects, %v", name, len(objects), err)
		}
	}
}

func TestRootsAreWhatNothingBuildsOn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"base": "resources: [x.yaml]", "blue": "resources: [../base/]", "green": "bases: [../base]\ncomponents: [../extra]",
		"extra": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n", "flux": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n",
		".hidden": "resources: []",
	} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "kustomization.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	names := func(trees []Tree) (all []string) {
		for _, tree := range trees {
			all = append(all, filepath.Base(tree.Dir))
		}
		return all
	}
	if got := strings.Join(names(Roots(dir, Find(dir))), " "); got != "blue green" {
		t.Errorf("roots are %s", got)
	}
	if got := strings.Join(names(Roots(filepath.Join(dir, "base"), Find(filepath.Join(dir, "base")))), " "); got != "base" {
		t.Errorf("roots of the base are %s", got)
	}
	if !Foreign(filepath.Join(dir, "flux", "kustomization.yaml")) || Foreign(filepath.Join(dir, "extra", "kustomization.yaml")) {
		t.Error("Flux' own kind is not told apart")
	}
}
