// Package apply applies somebody's rendered manifests to a cluster, on the server's
// side, and waits until everything is in place.
package apply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Bounds of what is read.
const (
	maxFile    = 32 << 20 // bytes
	maxTotal   = 256 << 20
	maxObjects = 10000
)

// ErrInput says that the manifests are not such that they can be applied.
var ErrInput = errors.New("the manifests cannot be applied")

// Read reads every *.yaml, *.yml and *.json file of a directory and of those below
// it, or one file, in order. Hooks of Helm that only run for a test, a deletion or a
// rollback are left out. What has to be rendered first is refused.
func Read(path string) ([]*unstructured.Unstructured, error) {
	files, err := list(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	var all []*unstructured.Unstructured
	total := int64(0)
	for _, file := range files {
		objects, size, err := readFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrInput, file, err)
		}
		if total += size; total > maxTotal || len(all)+len(objects) > maxObjects {
			return nil, fmt.Errorf("%w: %s holds more than %d MiB or %d objects", ErrInput, path, maxTotal>>20, maxObjects)
		}
		all = append(all, objects...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: there is none in %s; want *.yaml, *.yml or *.json files", ErrInput, path)
	}
	return all, nil
}

// list names the files to read.
func list(path string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(d0(d), ".") && name != path
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
			return nil
		}
		switch filepath.Base(name) {
		case "Chart.yaml":
			return fmt.Errorf("%s is a chart: render it first (helm template NAME %s --output-dir DIR)", filepath.Dir(name), filepath.Dir(name))
		case "kustomization.yaml", "kustomization.yml", "Kustomization":
			return fmt.Errorf("%s has a kustomization: build it first (kubectl kustomize %s -o DIR)", filepath.Dir(name), filepath.Dir(name))
		}
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) || name == path {
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// d0 is the name of an entry, which a path that cannot be read does not have.
func d0(d fs.DirEntry) string {
	if d == nil {
		return ""
	}
	return d.Name()
}

func readFile(file string) ([]*unstructured.Unstructured, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, err
	}
	if len(raw) > maxFile {
		return nil, 0, fmt.Errorf("it has more than %d MiB", maxFile>>20)
	}
	var all []*unstructured.Unstructured
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all, int64(len(raw)), nil
		} else if err != nil {
			return nil, 0, fmt.Errorf("document %d: %w", n, err)
		}
		objects, err := parse(doc)
		if err != nil {
			return nil, 0, fmt.Errorf("document %d: %w", n, err)
		}
		all = append(all, objects...)
	}
}

// parse reads one document: an object, a list of them, or nothing.
func parse(doc []byte) ([]*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(doc, &u.Object); err != nil {
		return nil, err
	}
	if len(u.Object) == 0 {
		return nil, nil
	}
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, errors.New("it has no apiVersion and kind, so it is no object of Kubernetes")
	}
	if !u.IsList() {
		return ofNow(u)
	}
	var all []*unstructured.Unstructured
	err := u.EachListItem(func(item runtime.Object) error {
		objects, err := ofNow(item.(*unstructured.Unstructured))
		all = append(all, objects...)
		return err
	})
	return all, err
}

// ofNow leaves out what Helm only makes later.
func ofNow(u *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if u.GetName() == "" {
		return nil, fmt.Errorf("an object of kind %s has no metadata.name", u.GetKind())
	}
	hooks := u.GetAnnotations()["helm.sh/hook"]
	if hooks == "" {
		return []*unstructured.Unstructured{u}, nil
	}
	for hook := range strings.SplitSeq(hooks, ",") {
		switch strings.TrimSpace(hook) {
		case "pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install":
			return []*unstructured.Unstructured{u}, nil
		}
	}
	return nil, nil
}
