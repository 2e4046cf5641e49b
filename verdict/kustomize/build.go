package kustomize

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Object is what a build makes.
type Object struct {
	Kind, Namespace, Name string
	Text                  []byte // YAML
	// Origin is the file that it comes from; the kustomization, where it generates it.
	Origin string
}

// Options bound a build.
type Options struct {
	MaxFile int64 // bytes of one file
}

// building is held by one build: kustomize keeps its schemas in a global variable.
var building sync.Mutex

// Build makes the objects of a tree, and says what of it was left out. An error
// says in one line why it cannot be built.
func Build(t Tree, o Options) (objects []Object, left []string, err error) {
	building.Lock()
	defer building.Unlock()
	defer func() { // it is a library, and the input may be hostile
		if r := recover(); r != nil {
			objects, err = nil, errors.New("kustomize cannot read it")
		}
	}()
	if t.broken != nil {
		return nil, nil, (&files{}).why(t.broken)
	}
	files := &files{FileSystem: filesys.MakeFsOnDisk(), root: t.File, max: o.MaxFile}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, t.Dir)
	if err != nil {
		return nil, nil, files.why(err)
	}
	for _, r := range made.Resources() {
		object, err := objectOf(t, r)
		if err != nil {
			return nil, nil, files.why(err)
		}
		objects = append(objects, object)
	}
	return objects, files.left, nil
}

const originAnnotation = "config.kubernetes.io/origin"

func objectOf(t Tree, r *resource.Resource) (Object, error) {
	o := Object{Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName(), Origin: t.File}
	if origin, err := r.GetOrigin(); err == nil && origin != nil && origin.Path != "" {
		o.Origin = filepath.Join(t.Dir, filepath.FromSlash(origin.Path))
	}
	annotations := r.GetAnnotations(originAnnotation)
	delete(annotations, originAnnotation)
	if err := r.SetAnnotations(annotations); err != nil {
		return o, err
	}
	var err error
	o.Text, err = r.AsYAML()
	return o, err
}

// why is the error in one line that holds no page of somebody's files.
func (f *files) why(err error) error {
	if f.refused != nil {
		return f.refused
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if here, wd := filepath.Abs("."); wd == nil {
		text = strings.ReplaceAll(text, here+string(filepath.Separator), "")
	}
	return fmt.Errorf("kustomize says: %s", strict.Shorten(text, 300))
}
