package kustomize

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// plugin names a generator, transformer or validator that is not kustomize's own,
// or that fetches something; empty: there is none. Dir is where the kustomization is.
func plugin(k *types.Kustomization, dir string) string {
	for _, entry := range slices.Concat(k.Generators, k.Transformers, k.Validators) {
		text := []byte(entry)
		if !strings.Contains(entry, "\n") { // it names a file
			info, err := os.Stat(filepath.Join(dir, entry))
			if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
				return entry
			}
			if text, err = os.ReadFile(filepath.Join(dir, entry)); err != nil {
				return entry
			}
		}
		if !builtin(text) {
			return strings.TrimSpace(strings.SplitN(entry, "\n", 2)[0])
		}
	}
	return ""
}

// builtin reports whether every document configures what is part of kustomize, and
// names nothing that would be fetched. Helm is not part of it.
func builtin(text []byte) bool {
	if !expandable(text) {
		return false
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	for n := 0; ; n++ {
		var doc yaml.Node
		if err := d.Decode(&doc); err != nil {
			return n > 0 && errors.Is(err, io.EOF)
		}
		var head struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
		}
		if doc.Decode(&head) != nil || head.APIVersion != "builtin" || strings.HasPrefix(head.Kind, "Helm") || fetches(&doc) {
			return false
		}
	}
}

func fetches(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && remote(n.Value) || slices.ContainsFunc(n.Content, fetches)
}
