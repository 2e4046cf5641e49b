package catalog

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed profiles/*.yaml
var embedded embed.FS

// ErrUnknown is returned for a profile that the catalog does not have.
var ErrUnknown = errors.New("no such profile")

// all loads the embedded profiles once. They are part of the program, so a
// profile that does not load is a defect of it and every Get says so.
var all = sync.OnceValues(func() (map[string]*Profile, error) {
	profiles, err := fs.Sub(embedded, "profiles")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return load(profiles)
})

// Get returns a profile by name, a copy of the caller's own at its top level.
// The error wraps ErrUnknown where there is none and lists those there are.
func Get(name string) (*Profile, error) {
	profiles, err := all()
	if err != nil {
		return nil, err
	}
	p, ok := profiles[name]
	if !ok {
		return nil, fmt.Errorf("catalog: %w: %q; there are %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	own := *p
	return &own, nil
}

// Names lists the profiles, sorted.
func Names() []string {
	profiles, err := all()
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(profiles))
	for name := range profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// load reads every *.yaml at the root of the file system. A file holds one
// profile and is named after it; unknown fields are refused.
func load(files fs.FS) (map[string]*Profile, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	profiles := make(map[string]*Profile, len(names))
	for _, file := range names {
		raw, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("catalog: read %s: %w", file, err)
		}
		p := new(Profile)
		if err := yaml.UnmarshalStrict(raw, p); err != nil {
			return nil, fmt.Errorf("catalog: %s is not a profile: %w", file, err)
		}
		if want := strings.TrimSuffix(path.Base(file), ".yaml"); p.Name != want {
			return nil, fmt.Errorf("catalog: %s holds profile %q: name the file after the profile", file, p.Name)
		}
		if err := p.validate(); err != nil {
			return nil, fmt.Errorf("catalog: %s: %w", file, err)
		}
		profiles[p.Name] = p
	}
	return profiles, nil
}
