package images

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Released tells the digests of the images that were released with this program, as
// Digests writes them: then it needs no layout to name them in a registry. The linker
// sets it; empty means that there is no release.
var Released string

// Digests are the images of a layout in one word: controller=sha256:…,agent=sha256:…
func (l *Layout) Digests() string {
	var words []string
	for _, i := range l.Images {
		words = append(words, i.Name+"="+i.Digest)
	}
	return strings.Join(words, ",")
}

// ReleasedReferences is References for the images that Released names.
func ReleasedReferences(prefix string) (map[string]string, error) {
	out := map[string]string{}
	for word := range strings.SplitSeq(Released, ",") {
		program, text, _ := strings.Cut(word, "=")
		digest, err := v1.NewHash(text)
		if err != nil || !known(program) {
			return nil, fmt.Errorf("%w: this program was linked with %.100q, which names no image by digest; build it with `make release`", ErrNoLayout, word)
		}
		repository, err := repository(prefix, program)
		if err != nil {
			return nil, err
		}
		out[program] = repository.Digest(digest.String()).String()
	}
	if i := slices.IndexFunc(Programs, func(p string) bool { return out[p] == "" }); i >= 0 {
		return nil, fmt.Errorf("%w: this program was linked without the digest of %s; build it with `make release`", ErrNoLayout, Programs[i])
	}
	return out, nil
}
