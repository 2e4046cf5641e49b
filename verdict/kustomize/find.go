package kustomize

//lint:file-ignore SA1019 kustomizations of others have the fields that are deprecated

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// Bounds of a search, as those of reading manifests.
const (
	maxTrees = 5_000
	maxDepth = 64
	maxFile  = 1 << 20 // bytes of a kustomization that are looked at
)

// Tree is a directory with a kustomization.
type Tree struct {
	Dir  string // as it was given or found
	File string // the kustomization in it
	// Component says that it only changes what others build.
	Component bool
	refs      []string // directories that it builds on, cleaned
	broken    error    // why it cannot be read
}

// IsFile reports whether kustomize takes a file of this name for a kustomization.
func IsFile(name string) bool {
	return name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
}

// Foreign reports whether a file of such a name is somebody else's: Flux has a
// kind of that name.
func Foreign(file string) bool {
	raw, err := os.ReadFile(file)
	var head struct {
		APIVersion string `yaml:"apiVersion"`
	}
	if err != nil || len(raw) > maxFile || yaml.Unmarshal(raw, &head) != nil {
		return false
	}
	return head.APIVersion != "" && !strings.HasPrefix(head.APIVersion, ours)
}

// ours is the API group of kustomize.
const ours = "kustomize.config.k8s.io/"

// Find lists the kustomizations at or below a directory, sorted by it. It follows
// no symbolic link, and looks into nothing that is hidden.
func Find(dir string) []Tree {
	var all []Tree
	depth := strings.Count(filepath.Clean(dir), string(filepath.Separator))
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."), strings.Count(path, string(filepath.Separator))-depth > maxDepth:
			return fs.SkipDir
		case len(all) == maxTrees:
			return fs.SkipAll
		case d.Type().IsRegular() && IsFile(d.Name()):
			if t, ok := read(path); ok {
				all = append(all, t)
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Tree) int { return strings.Compare(a.Dir, b.Dir) })
	return all
}

// read reads as much of a kustomization as tells what it builds on.
func read(file string) (Tree, bool) {
	info, err := os.Stat(file)
	if err != nil || info.Size() > maxFile {
		return Tree{}, false
	}
	raw, err := os.ReadFile(file)
	if err != nil || !expandable(raw) || Foreign(file) {
		return Tree{}, false
	}
	var k types.Kustomization
	if err := k.Unmarshal(raw); err != nil {
		return Tree{Dir: filepath.Dir(file), File: file, broken: err}, true
	}
	t := Tree{Dir: filepath.Dir(file), File: file, Component: k.Kind == types.ComponentKind}
	for _, ref := range slices.Concat(k.Resources, k.Bases, k.Components) {
		if !remote(ref) {
			t.refs = append(t.refs, filepath.Join(t.Dir, ref))
		}
	}
	return t, true
}

// Roots are the trees that no other one builds on, which can be built themselves.
// The tree of the directory itself hides those below it.
func Roots(dir string, all []Tree) []Tree {
	var roots []Tree
	for _, t := range all {
		if filepath.Clean(t.Dir) == filepath.Clean(dir) {
			return []Tree{t}
		}
		used := slices.ContainsFunc(all, func(other Tree) bool { return slices.Contains(other.refs, filepath.Clean(t.Dir)) })
		if !used && !t.Component {
			roots = append(roots, t)
		}
	}
	return roots
}

// remote reports whether kustomize would fetch what a field names: by HTTP, or as
// a git repository, whose name may have no scheme (git@host:path, github.com/a/b).
func remote(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "://") || strings.Contains(name, "@") || strings.HasPrefix(name, "git::") ||
		strings.HasPrefix(strings.TrimPrefix(name, "www."), "github.com")
}
