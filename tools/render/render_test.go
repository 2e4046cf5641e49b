package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/tightrope-dev/tightrope/deploy"
)

const (
	chart  = "../../deploy/helm/tightrope"
	base   = "../../deploy/kustomize"
	digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// installed are the objects that `tightrope install` applies with these options.
func installed(t *testing.T, o deploy.Options) []*unstructured.Unstructured {
	t.Helper()
	crds, err := deploy.CRDs(o)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := deploy.Manifests(o)
	if err != nil {
		t.Fatal(err)
	}
	return append(crds, rest...)
}

// compare takes JSON for JSON: a 1 of YAML may be an int64 here and a float64 there.
func compare(t *testing.T, got, want []*unstructured.Unstructured) {
	t.Helper()
	text := func(all []*unstructured.Unstructured) map[string]string {
		out := map[string]string{}
		for _, o := range all {
			b, err := json.MarshalIndent(o.Object, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
			if out[key] != "" {
				t.Errorf("%s is there twice", key)
			}
			out[key] = string(b)
		}
		return out
	}
	have := text(got)
	for key, b := range text(want) {
		if have[key] != b {
			t.Errorf("%s:\n%s\nwant:\n%s", key, have[key], b)
		}
		delete(have, key)
	}
	for key := range have {
		t.Errorf("%s is none that is installed", key)
	}
	if len(want) < 8 {
		t.Fatalf("only %d objects are installed", len(want))
	}
}

// kept takes off the one annotation that only Helm reads, and which every CRD must have.
func kept(t *testing.T, all []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	for _, o := range all {
		annotations := o.GetAnnotations()
		if stays := annotations["helm.sh/resource-policy"] == "keep"; stays != (o.GetKind() == "CustomResourceDefinition") {
			t.Errorf("%s %s stays when the chart is uninstalled: %v", o.GetKind(), o.GetName(), stays)
		}
		delete(annotations, "helm.sh/resource-policy")
		o.SetAnnotations(annotations)
	}
	return all
}

var cases = map[string]struct {
	options deploy.Options
	values  map[string]any
}{
	"as it comes": {deploy.Options{Version: "dev"}, nil},
	"every value": {
		deploy.Options{Version: "v1.2.3", Controller: "registry.example/t/controller" + digest, Agent: "registry.example/t/agent" + digest,
			Twin: "localhost:5000/twin:v1", PullSecrets: []string{"one", "two"}, Ordinary: true,
			NodeSelector:     map[string]string{"kubernetes.io/arch": "arm64", "pool": "true"},
			Tolerations:      []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}, {Key: "b", Value: "c"}},
			ProbePullSecrets: []string{"p", "q"}, ProbeNodeSelector: map[string]string{"kubernetes.io/arch": "arm64", "pool": "a"}, ProbeTolerations: []string{"gpu=yes:NoSchedule", "spot"}},
		map[string]any{
			"probes":           map[string]any{"imagePullSecrets": []any{"p", "q"}, "nodeSelector": map[string]any{"pool": "a", "kubernetes.io/arch": "arm64"}, "tolerations": []any{"gpu=yes:NoSchedule", "spot"}},
			"images":           map[string]any{"controller": "registry.example/t/controller" + digest, "agent": "registry.example/t/agent" + digest, "twin": "localhost:5000/twin:v1"},
			"imagePullSecrets": []any{map[string]any{"name": "one"}, map[string]any{"name": "two"}},
			"ordinary":         true,
			"nodeSelector":     map[string]any{"kubernetes.io/arch": "arm64", "pool": "true"},
			"tolerations":      []any{map[string]any{"key": "a", "operator": "Exists", "effect": "NoSchedule"}, map[string]any{"key": "b", "value": "c"}},
		},
	},
}

// Switches are told apart by every pair of them, on every kind of cluster.
func TestTheChartInstallsWhatInstallDoes(t *testing.T) {
	for name, tt := range cases {
		for _, minor := range []int{30, 35, 36, 37} {
			for _, single := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s on 1.%d, single tenant %v", name, minor, single), func(t *testing.T) {
					options, values := tt.options, map[string]any{"singleTenant": single}
					options.Minor, options.SingleTenant = minor, single
					maps.Copy(values, tt.values)
					got, err := Release{Chart: chart, Namespace: "default", AppVersion: options.Version, Values: values,
						Kubernetes: fmt.Sprintf("v1.%d.1-eks-1", minor)}.Objects()
					if err != nil {
						t.Fatal(err)
					}
					compare(t, kept(t, got), installed(t, options))
				})
			}
		}
	}
}

// Helm makes the namespace of a release itself, and would not take over one of ours.
func TestTheChartLeavesTheNamespaceOfItsReleaseToHelm(t *testing.T) {
	got, err := Release{Chart: chart, Namespace: "tightrope-system", Kubernetes: "v1.30.0"}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	var want []*unstructured.Unstructured
	for _, o := range installed(t, deploy.Options{Version: "dev"}) {
		if o.GetKind() != "Namespace" {
			want = append(want, o)
		}
	}
	compare(t, kept(t, got), want)
}

func TestHelmLintPasses(t *testing.T) {
	if len(lint.RunAll(t.TempDir(), nil, "default").Messages) == 0 {
		t.Fatal("a folder without a chart passes")
	}
	for name, tt := range cases {
		result := lint.RunAll(chart, tt.values, "default")
		for _, m := range result.Messages {
			if !strings.Contains(m.Err.Error(), "icon is recommended") {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestValuesThatNobodyReadsAreRefused(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"a typo":            {"image": map[string]any{"agent": "a"}},
		"a typo within":     {"images": map[string]any{"agnet": "a"}},
		"no image":          {"images": map[string]any{"agent": ""}},
		"more than a name":  {"images": map[string]any{"agent": "a\" b"}},
		"a secret's name":   {"imagePullSecrets": []any{"one"}},
		"a number for text": {"nodeSelector": map[string]any{"pool": 1}},
		"a taint's effect":  {"probes": map[string]any{"tolerations": []any{"gpu:Never"}}},
		"text for a switch": {"ordinary": "true"},
	} {
		if _, err := (Release{Chart: chart, Namespace: "default", Values: values}).Objects(); err == nil || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: %v, want a word of the schema", name, err)
		}
	}
}

func TestTheBaseInstallsWhatInstallDoes(t *testing.T) {
	got, err := Kustomization(filesys.MakeFsOnDisk(), base)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, installed(t, deploy.Options{}))
}

// The overlay of the documents puts the images of a registry in the base.
func TestAnOverlayBringsItsImages(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "base"), os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../docs/charts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "```yaml\n# kustomization.yaml\n")
	text, _, ended := strings.Cut(text, "```")
	if !found || !ended {
		t.Fatal("docs/charts.md has no kustomization.yaml")
	}
	remote := "https://github.com/tightrope-dev/tightrope//deploy/kustomize?ref=VERSION"
	if strings.Count(text, remote) != 1 {
		t.Fatalf("the overlay does not name %s", remote)
	}
	text = strings.NewReplacer(remote, "base", "sha256:…", digest[1:]).Replace(text)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Kustomization(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "registry.example/team/"
	compare(t, got, installed(t, deploy.Options{Controller: prefix + "controller" + digest, Agent: prefix + "agent" + digest, Twin: prefix + "twin" + digest}))
}

// The API server refuses a CRD whose schema is not structural; this asks its own code.
func TestEveryCRDIsStructural(t *testing.T) {
	crds, err := deploy.CRDs(deploy.Options{})
	if err != nil || len(crds) == 0 {
		t.Fatalf("%d CRDs: %v", len(crds), err)
	}
	for _, u := range crds {
		var crd apiextensions.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, &crd, true); err != nil {
			t.Errorf("%s: %v", u.GetName(), err)
			continue
		}
		if problems := validateCRD(t, &crd); len(problems) > 0 {
			t.Errorf("%s: %v", u.GetName(), problems)
		}
	}
}
