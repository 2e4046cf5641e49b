package images

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Target is where Push pushes to.
type Target struct {
	Prefix   string          // REGISTRY/PREFIX
	Tag      string          // beside the digest, so that no registry takes the images for garbage; empty: the version of the layout
	Insecure bool            // plain HTTP where HTTPS is not answered
	NoSBOM   bool            // for registries that take images alone
	Keychain authn.Keychain  // nil: the user's Docker configuration
	Began    func(one Image) // called before each image, in order; may be nil
}

// Pushed is one image in a registry.
type Pushed struct {
	Name      string `json:"name"`
	Reference string `json:"reference"` // by digest: what a pod should name
	Tag       string `json:"tag"`       // the same by tag
	Digest    string `json:"digest"`
}

// Push pushes every image with all its platforms and SBOMs, and returns those that
// are in the registry, also where it fails. What a registry has already is not sent
// again. Errors wrap ErrUnreachable or ErrRefused where it is one of them.
func (l *Layout) Push(ctx context.Context, to Target) ([]Pushed, error) {
	var options []name.Option
	if to.Insecure {
		options = append(options, name.Insecure)
	}
	pusher, err := remote.NewPusher(remote.WithAuthFromKeychain(keychain(to.Keychain)), remote.WithTransport(roundTripper()),
		remote.WithUserAgent("tightrope"))
	if err != nil {
		return nil, err
	}
	sboms, err := l.bySubject()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoLayout, l.Dir, err)
	}
	if to.NoSBOM {
		sboms = nil
	}
	var done []Pushed
	for _, one := range l.Images {
		repository, err := repository(to.Prefix, one.Name, options...)
		if err != nil {
			return done, err
		}
		if to.Began != nil {
			to.Began(one)
		}
		pushed, err := l.pushOne(ctx, pusher, repository, one, to.Tag, sboms)
		if err != nil {
			return done, explain(ctx, repository, err)
		}
		done = append(done, pushed)
	}
	return done, nil
}

func (l *Layout) pushOne(ctx context.Context, pusher *remote.Pusher, to name.Repository, one Image, asTag string, sboms map[string][]v1.Descriptor) (Pushed, error) {
	if asTag == "" {
		asTag = tag(one.Version)
	}
	hash, err := v1.NewHash(one.Digest)
	if err != nil {
		return Pushed{}, err
	}
	ix, err := l.index.ImageIndex(hash)
	if err != nil {
		return Pushed{}, err
	}
	tagged, err := name.NewTag(to.Name()+":"+asTag, name.StrictValidation)
	if err != nil {
		return Pushed{}, err
	}
	tagged.Repository = to // with its scheme
	if err := pusher.Push(ctx, tagged, ix); err != nil {
		return Pushed{}, err
	}
	for _, p := range one.Platforms {
		for _, d := range sboms[p.Digest] {
			sbom, err := l.index.Image(d.Digest)
			if err != nil {
				return Pushed{}, err
			}
			if err := pusher.Push(ctx, to.Digest(d.Digest.String()), sbom); err != nil {
				return Pushed{}, fmt.Errorf("SBOM of %s: %w; a registry that takes images alone gets them with --sbom=false", p.Platform, err)
			}
		}
	}
	return Pushed{Name: one.Name, Reference: to.Digest(one.Digest).String(), Tag: tagged.String(), Digest: one.Digest}, nil
}

// bySubject are the SBOMs of each manifest.
func (l *Layout) bySubject() (map[string][]v1.Descriptor, error) {
	all := map[string][]v1.Descriptor{}
	for _, d := range l.sboms {
		if err := l.check(d); err != nil {
			return nil, err
		}
		img, err := l.index.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		m, err := img.Manifest()
		if err != nil {
			return nil, err
		}
		if m.Subject != nil {
			subject := m.Subject.Digest.String()
			all[subject] = append(all[subject], d)
		}
	}
	return all, nil
}

func keychain(k authn.Keychain) authn.Keychain {
	if k == nil {
		return authn.DefaultKeychain
	}
	return k
}

// roundTripper gives up on a registry that does not answer sooner than the library's:
// each of its three tries would wait for half a minute.
func roundTripper() http.RoundTripper {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = 5 * time.Minute // after all of a layer was sent
	return t
}
