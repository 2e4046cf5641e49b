package charts

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/deploy"
)

// kustomizeBase is every file of the base: the objects with the images of the lab,
// which an overlay replaces.
func kustomizeBase() (map[string][]byte, error) {
	objects, err := all(deploy.Options{})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	var list strings.Builder
	list.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n")
	for _, x := range objects {
		text, err := yaml.Marshal(x.Object)
		if err != nil {
			return nil, fmt.Errorf("kustomize base: %s: %w", x.key(), err)
		}
		if files[x.file()] != nil {
			return nil, fmt.Errorf("kustomize base: %s: two objects would be in %s", x.key(), x.file())
		}
		files[x.file()] = text
		fmt.Fprintf(&list, "- %s\n", x.file())
	}
	files["kustomization.yaml"] = []byte(list.String())
	return files, nil
}
