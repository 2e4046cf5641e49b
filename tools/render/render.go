// Package render renders our Helm chart and our kustomize base as their users do, with
// Helm's and kustomize's own code. Its tests compare the objects with those that
// `tightrope install` applies. It is a module of its own, so that nothing of ours
// depends on Helm.
package render

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Release is a chart as somebody installs it.
type Release struct {
	Chart      string         // folder
	Namespace  string         // of the release
	AppVersion string         // as `helm package --app-version` writes it; empty: the chart's own
	Kubernetes string         // version of the cluster, as v1.37.2; empty: that of Helm's own libraries
	Values     map[string]any // besides those of the chart
}

// Objects are those of a release, in Helm's order. Values are checked against the chart's schema.
func (r Release) Objects() ([]*unstructured.Unstructured, error) {
	chart, err := loader.LoadDir(r.Chart)
	if err != nil {
		return nil, err
	}
	if r.AppVersion != "" {
		chart.Metadata.AppVersion = r.AppVersion
	}
	capabilities := common.DefaultCapabilities.Copy()
	if r.Kubernetes != "" {
		version, err := common.ParseKubeVersion(r.Kubernetes)
		if err != nil {
			return nil, err
		}
		capabilities.KubeVersion = *version
	}
	values, err := util.ToRenderValues(chart, r.Values, common.ReleaseOptions{Name: "tightrope", Namespace: r.Namespace, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(name, _ string) bool { return path.Ext(name) != ".yaml" }) // NOTES.txt
	hooks, sorted, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil || len(hooks) > 0 {
		return nil, fmt.Errorf("%d hooks, and the chart has none: %w", len(hooks), err)
	}
	var all []*unstructured.Unstructured
	for _, m := range sorted {
		objects, err := parse(m.Content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// Kustomization are the objects of a folder with a kustomization.
func Kustomization(fs filesys.FileSystem, folder string) ([]*unstructured.Unstructured, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, folder)
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return parse(string(text))
}

func parse(text string) (all []*unstructured.Unstructured, err error) {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}
