package kustomize

//lint:file-ignore SA1019 kustomizations of others have the fields that are deprecated

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Bounds of all that one build reads.
const (
	maxReads = 50_000
	maxTotal = 256 << 20 // bytes
	maxAlias = 100_000   // values that aliases add to a document
)

// files is the file system of a build. It shows kustomizations without what would
// be fetched or run, and bounds what is read.
type files struct {
	filesys.FileSystem
	root    string // kustomization that is built
	max     int64  // bytes of a file
	reads   int
	total   int64
	left    []string // what was taken out
	refused error    // why the build cannot go on
}

// ReadFile reads a regular file within the bounds.
func (f *files) ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f.reads++
	f.total += info.Size()
	switch {
	case !info.Mode().IsRegular():
		return nil, f.refuse("%s is no file", filepath.Base(path))
	case f.max > 0 && info.Size() > f.max:
		return nil, f.refuse("%s is longer than the %d MiB that one file may have", filepath.Base(path), f.max>>20)
	case f.reads > maxReads || f.total > maxTotal:
		return nil, f.refuse("it reads too many files")
	}
	raw, err := f.FileSystem.ReadFile(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !expandable(raw):
		return nil, f.refuse("aliases of %s stand for more values than are read", filepath.Base(path))
	case IsFile(filepath.Base(path)):
		return f.kustomization(path, raw)
	}
	return raw, nil
}

func (f *files) refuse(format string, args ...any) error {
	if f.refused == nil {
		f.refused = &Refusal{fmt.Sprintf(format, args...)}
	}
	return f.refused
}

// Refusal is a build that kustomize might do and that is not done here: it would
// run somebody's program, or read too much.
type Refusal struct{ why string }

func (r *Refusal) Error() string { return r.why }

// kustomization is the file without what would be fetched. What would be run is
// refused: it may change everything.
func (f *files) kustomization(path string, raw []byte) ([]byte, error) {
	var k types.Kustomization
	if err := k.Unmarshal(raw); err != nil {
		return raw, nil // kustomize says what is wrong
	}
	switch what := plugin(&k, filepath.Dir(path)); {
	case what != "":
		return nil, f.refuse("%s may be a plugin, which is not run", strict.Show(what))
	case len(k.HelmCharts)+len(k.HelmChartInflationGenerator) > 0 || k.HelmGlobals != nil:
		return nil, f.refuse("it renders Helm charts")
	}
	k.Resources, k.Bases, k.Components = f.local(k.Resources), f.local(k.Bases), f.local(k.Components)
	for _, name := range loads(&k) {
		if remote(name) {
			return nil, f.refuse("it fetches %s", strict.Show(name))
		}
	}
	for i := range k.SecretGenerator { // no verdict depends on what a Secret holds, and its files may be missing
		k.SecretGenerator[i].KvPairSources = types.KvPairSources{}
	}
	modern(&k)
	if path == f.root || sameFile(path, f.root) {
		k.BuildMetadata = []string{types.OriginAnnotations}
	}
	return kyaml.Marshal(&k)
}

// modern writes deprecated fields as kustomize edit fix does: kustomize would warn
// of them on standard error.
func modern(k *types.Kustomization) {
	k.FixKustomization()
	for _, p := range k.PatchesStrategicMerge {
		if inline(p) {
			k.Patches = append(k.Patches, types.Patch{Patch: string(p)})
		} else {
			k.Patches = append(k.Patches, types.Patch{Path: string(p)})
		}
	}
	k.PatchesStrategicMerge = nil
	_ = k.FixKustomizationPreMarshalling(nil) // an error leaves commonLabels as they are
}

// inline reports whether a patch is the text itself, not the name of a file.
func inline(p types.PatchStrategicMerge) bool { return strings.Contains(string(p), "\n") }

// local is the list without what would be fetched, which is noted.
func (f *files) local(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		if remote(name) {
			f.left = append(f.left, name)
			return true
		}
		return false
	})
}

// loads are the other fields that name files.
func loads(k *types.Kustomization) []string {
	all := slices.Concat(k.Crds, k.Configurations, []string{k.OpenAPI["path"]})
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) {
		all = append(all, p.Path)
	}
	for _, p := range k.PatchesStrategicMerge {
		if !inline(p) {
			all = append(all, string(p))
		}
	}
	for _, r := range k.Replacements {
		all = append(all, r.Path)
	}
	sources := func(s types.KvPairSources) {
		all = append(all, slices.Concat(s.FileSources, s.EnvSources, []string{s.EnvSource})...)
	}
	for _, g := range k.ConfigMapGenerator {
		sources(g.KvPairSources)
	}
	for _, g := range k.SecretGenerator {
		sources(g.KvPairSources)
	}
	return all
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// expandable reports whether a stream of YAML stands for no more than it should:
// kustomize writes aliases out. What is no YAML is none of its concern.
func expandable(raw []byte) bool {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	for {
		var n yaml.Node
		if err := d.Decode(&n); err != nil {
			return true
		}
		if e := strict.Expand(&n); e.Cycle != nil || e.Aliased > maxAlias {
			return false
		}
	}
}
