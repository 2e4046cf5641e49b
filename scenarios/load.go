package scenarios

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// maxFile bounds a scenario's file, in bytes.
const maxFile = 1 << 20

//go:embed library/*.yaml
var library embed.FS

// Library lists the scenarios that are part of the program, sorted.
func Library() []string {
	entries, err := library.ReadDir("library")
	if err != nil {
		return nil // the folder is part of the program; without it this does not compile
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Load reads a scenario of the library by name, or any by the path of its
// file, takes over what its base states, checks it, and applies its fault. A
// file that was read and is wrong gives Problems.
func Load(nameOrPath string) (*Scenario, error) {
	file, raw, err := read(nameOrPath)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	return parse(file, raw, func(base string) (string, []byte, error) {
		if isPath(base) && !filepath.IsAbs(base) {
			base = filepath.Join(dir, base)
		}
		return read(base)
	})
}

// isPath tells a file from a name of the library.
func isPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || strings.HasSuffix(s, ".yaml") || strings.HasSuffix(s, ".yml")
}

func read(nameOrPath string) (file string, raw []byte, err error) {
	if !isPath(nameOrPath) && slices.Contains(Library(), nameOrPath) {
		file = path.Join("library", nameOrPath+".yaml")
		raw, err = library.ReadFile(file)
		return path.Join("scenarios", file), raw, err
	}
	f, err := os.Open(nameOrPath)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil, fmt.Errorf("scenario %s: there is no such file, and the library has %s", strict.Show(nameOrPath), strings.Join(Library(), ", "))
	} else if err != nil {
		return "", nil, fmt.Errorf("scenario: %w", err)
	}
	defer f.Close()
	raw, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", nil, fmt.Errorf("scenario: read %w", err)
	}
	return nameOrPath, raw, nil
}

// parse makes a scenario of a file's bytes; open finds its base.
func parse(file string, raw []byte, open func(base string) (string, []byte, error)) (*Scenario, error) {
	s, where, err := decode(file, raw)
	if err != nil {
		return nil, err
	}
	if s.Spec.Base == "" {
		if err := complete(s, where); err != nil {
			return nil, err
		}
		return s, nil
	}
	where.checkDerived(s)
	if err := where.err(); err != nil {
		return nil, err
	}
	baseFile, baseRaw, err := open(s.Spec.Base)
	if err != nil {
		where.add("spec.base", "%s", strict.Show(err.Error()))
		return nil, where.err()
	}
	base, baseWhere, err := decode(baseFile, baseRaw)
	if err != nil {
		return nil, err
	}
	if base.Spec.Base != "" {
		where.add("spec.base", "%s has a base itself: name %s", strict.Show(s.Spec.Base), strict.Show(base.Spec.Base))
		return nil, where.err()
	}
	if err := complete(base, baseWhere); err != nil {
		return nil, err
	}
	s.inherit(base)
	s.Spec.Rollout.Exceptions = append(s.Spec.Rollout.Exceptions, s.Spec.Exceptions...)
	where.checkExpect(s)
	where.checkFault(s)
	where.checkExceptions("spec.exceptions", s.Spec.Exceptions, s)
	if err := where.err(); err != nil {
		return nil, err
	}
	if err := s.Spec.Fault.apply(s.Spec.Rollout); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Metadata.Name, err)
	}
	return s, nil
}

// complete checks a scenario that stands on its own.
func complete(s *Scenario, where *positions) error {
	s.root = s.Metadata.Name
	where.check(s)
	return where.err()
}

// inherit takes over what the base states, as copies.
func (s *Scenario) inherit(base *Scenario) {
	s.root = base.root
	s.Metadata.Namespace = base.Metadata.Namespace
	s.Spec.Topology = base.Spec.Topology // never written to
	s.Spec.Suite = base.Spec.Suite.DeepCopy()
	s.Spec.Rollout = base.Spec.Rollout.DeepCopy()
}

// decode reads one YAML document strictly.
func decode(file string, raw []byte) (*Scenario, *positions, error) {
	where := &positions{file: strict.Show(file)}
	if len(raw) > maxFile {
		where.add("", "is longer than %d bytes", maxFile)
		return nil, nil, where.err()
	}
	reader := yaml.NewDecoder(bytes.NewReader(raw))
	var document, second yaml.Node
	switch err := reader.Decode(&document); {
	case errors.Is(err, io.EOF):
		where.add("", "is empty: a scenario begins with apiVersion: tightrope.dev/v1alpha1 and kind: Scenario")
		return nil, nil, where.err()
	case err != nil:
		where.addSyntax(err)
		return nil, nil, where.err()
	}
	if err := reader.Decode(&second); !errors.Is(err, io.EOF) {
		where.problems = append(where.problems, Problem{File: where.file, Line: second.Line,
			What: "holds more than one document: give each scenario a file of its own"})
	}
	s := &Scenario{file: file}
	where.root = document.Content[0]
	if what := otherKind(where.root, where.file); what != "" {
		where.problems = nil // of documents that are none of ours
		where.add("kind", "%s", what)
		return nil, nil, where.err()
	}
	where.addAll(strict.Decode(where.root, s, strict.Dialect{}))
	if err := where.err(); err != nil {
		return nil, nil, err
	}
	return s, where, nil
}

// otherKind says which command is meant for a manifest that is no scenario; empty: it
// is none of ours.
func otherKind(n *yaml.Node, file string) string {
	kind := strict.Value(n, "kind")
	at := strict.Find(n, "kind")
	if at == nil || kind == nil || at == n {
		return ""
	}
	switch kind.Value {
	case "PolicyRollout":
		return fmt.Sprintf("is a PolicyRollout, not a Scenario: tightrope rollout apply -f %s --wait rolls it out on a cluster, and tightrope plan -f %s says beforehand what that would do", file, file)
	case "ConnectivitySuite":
		return fmt.Sprintf("is a ConnectivitySuite, not a Scenario: tightrope rollout apply -f %s applies it, with the rollouts that name it", file)
	}
	return ""
}
