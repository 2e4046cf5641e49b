package images

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// References are the images of a layout as pods name them when they were pushed to
// a registry and prefix, such as registry.example/team: by program, with the digest
// of the index, which fits every architecture. It contacts nobody. It is an error
// if the layout lacks one of Programs.
func References(layout, prefix string) (map[string]string, error) {
	l, err := Open(layout)
	if err != nil {
		return nil, err
	}
	return l.References(prefix)
}

// References is the function of that name for a layout that is open.
func (l *Layout) References(prefix string) (map[string]string, error) {
	out := map[string]string{}
	for _, i := range l.Images {
		repository, err := repository(prefix, i.Name)
		if err != nil {
			return nil, err
		}
		out[i.Name] = repository.Digest(i.Digest).String()
	}
	for _, p := range Programs {
		if out[p] == "" {
			return nil, fmt.Errorf("%w: the OCI layout %s has no image %s; build it with `make images`", ErrNoLayout, l.Dir, p)
		}
	}
	return out, nil
}

// repository is where an image is below REGISTRY/PREFIX.
func repository(prefix, program string, options ...name.Option) (name.Repository, error) {
	host, _, _ := strings.Cut(prefix, "/")
	if prefix == "" || strings.Contains(prefix, "://") || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		return name.Repository{}, fmt.Errorf("registry %.200q: want REGISTRY/PREFIX, as registry.example/team or localhost:5000/tightrope; Docker Hub is docker.io/USER", prefix)
	}
	r, err := name.NewRepository(strings.TrimSuffix(prefix, "/")+"/"+program, append(options, name.StrictValidation)...)
	if err != nil {
		return r, fmt.Errorf("registry %.200q: %w; want REGISTRY/PREFIX, as registry.example/team", prefix, err)
	}
	return r, nil
}
