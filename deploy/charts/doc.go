// Package charts templates. It writes a Helm chart and a kustomize base that hold
// exactly what package deploy returns, so that there is one source of the objects:
//
//	deploy.CRDs, deploy.Manifests ──┬─► deploy/helm/tightrope   values in the place of Options
//	                                └─► deploy/kustomize        as they are
//
// It knows no object. It asks package deploy for the objects with marks in the place
// of values, and again with each switch turned, and writes a template where a mark is
// and a condition where the two differ.
//
// The CRDs are among the chart's templates, because Helm upgrades those only. They stay
// when the chart is uninstalled: without them every rollout and report would be deleted.
package charts

import (
	"path"

	"github.com/tightrope-dev/tightrope/deploy"
)

// Folders of what is written, below the repository's root.
const (
	Chart = "deploy/helm/tightrope"
	Base  = "deploy/kustomize"
)

// Generate returns every file of the chart and the base, by its path.
func Generate() (map[string][]byte, error) {
	files, err := chart()
	if err != nil {
		return nil, err
	}
	base, err := kustomizeBase()
	if err != nil {
		return nil, err
	}
	for name, text := range base {
		files[path.Join(Base, name)] = text
	}
	return files, nil
}

// all are the CRDs and then the rest, in the order to apply them in.
func all(o deploy.Options) ([]object, error) {
	crds, err := deploy.CRDs(o)
	if err != nil {
		return nil, err
	}
	rest, err := deploy.Manifests(o)
	if err != nil {
		return nil, err
	}
	var out []object
	for _, u := range append(crds, rest...) {
		out = append(out, object{u})
	}
	return out, nil
}
