package images

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve is a registry of this process, and its host.
func serve(t *testing.T, wrap func(http.Handler) http.Handler, options ...registry.Option) string {
	t.Helper()
	h := registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...)
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestPushedImagesComeBackAsTheyWere(t *testing.T) {
	for kind, options := range map[string][]registry.Option{
		"a registry that lists referrers": {registry.WithReferrersSupport(true)},
		"an older one":                    nil,
	} {
		t.Run(kind, func(t *testing.T) {
			l := build(t)
			prefix := serve(t, nil, options...) + "/team/tightrope"
			var began []string
			pushed, err := l.Push(t.Context(), Target{Prefix: prefix, Keychain: authn.NewMultiKeychain(), Began: func(i Image) { began = append(began, i.Name) }})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(began, ","); got != strings.Join(Programs, ",") || len(pushed) != len(Programs) {
				t.Fatalf("pushed %s: %+v", got, pushed)
			}
			refs, err := l.References(prefix)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range pushed {
				if p.Reference != refs[p.Name] || p.Digest != l.Images[i].Digest || p.Tag != prefix+"/"+p.Name+":v1.2.3-4-gabc-dirty" {
					t.Errorf("%+v, and references %s", p, refs[p.Name])
				}
				comesBack(t, p)
			}
			comesWithSBOMs(t, l, pushed[0])
		})
	}
}

// comesBack pulls an image by tag and by digest, and reads all of it.
func comesBack(t *testing.T, p Pushed) {
	t.Helper()
	for _, text := range []string{p.Reference, p.Tag} {
		ref, err := name.ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		ix, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ix.Digest(); err != nil || got.String() != p.Digest {
			t.Errorf("%s has the digest %s, want %s: %v", text, got, p.Digest, err)
		}
		if err := validate.Index(ix); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func comesWithSBOMs(t *testing.T, l *Layout, p Pushed) {
	t.Helper()
	ref, err := name.NewDigest(p.Reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range l.Images[0].Platforms {
		found, err := remote.Referrers(ref.Context().Digest(platform.Digest))
		if err != nil {
			t.Fatal(err)
		}
		list, err := found.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Manifests) != 1 || list.Manifests[0].ArtifactType != sbomType {
			t.Errorf("referrers of %s: %+v", platform.Platform, list.Manifests)
		}
	}
}

func TestWhatARegistryDoesIsExplained(t *testing.T) {
	refusing := func(code int, header, body string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if code != http.StatusUnauthorized && r.URL.Path == "/v2/" {
					return
				}
				if r.Method == http.MethodHead && code != http.StatusUnauthorized {
					http.Error(w, "", http.StatusNotFound) // it has no such blob
					return
				}
				w.Header().Set("WWW-Authenticate", header)
				http.Error(w, body, code)
			})
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	for name, tt := range map[string]struct {
		host string
		kind error
		want []string
	}{
		"nobody listens": {closed.Addr().String(), ErrUnreachable, []string{"connection refused", "is it up"}},
		"no credentials": {serve(t, refusing(401, `Basic realm="x"`, "no")), ErrRefused, []string{"credentials", "docker login"}},
		"no right to push": {serve(t, refusing(403, "", `{"errors":[{"code":"DENIED","message":"not yours"}]}`)), ErrRefused,
			[]string{"may not push to", "/team/controller", "not yours"}},
		"no such project": {serve(t, refusing(404, "", `{"errors":[{"code":"NAME_UNKNOWN","message":"project not found"}]}`)), ErrRefused,
			[]string{"/team/controller", "create it there"}},
		"it has no room":     {serve(t, refusing(507, "", strings.Repeat("x", 10_000))), ErrUnreachable, []string{"failed", "507"}},
		"a foreign signer":   {strings.TrimPrefix(secure.URL, "https://"), ErrUnreachable, []string{"certificate", "SSL_CERT_FILE"}},
		"no such host":       {"registry.invalid", ErrUnreachable, []string{"registry.invalid", "is the name right"}},
		"no registry at all": {serve(t, func(http.Handler) http.Handler { return http.NotFoundHandler() }), ErrRefused, []string{"404"}},
	} {
		t.Run(name, func(t *testing.T) {
			pushed, err := build(t).Push(t.Context(), Target{Prefix: tt.host + "/team", Keychain: authn.NewMultiKeychain()})
			if !errors.Is(err, tt.kind) || len(pushed) != 0 {
				t.Fatalf("pushed %v, error %v, want %v", pushed, err, tt.kind)
			}
			for _, want := range append(tt.want, tt.host) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q: want %q in it", err, want)
				}
			}
			if len(err.Error()) > 3*maxAnswer {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestCredentialsOfTheUsersDockerConfigurationAreUsed(t *testing.T) {
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "ada" || password != "engine" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	_, err := build(t).Push(t.Context(), Target{Prefix: host + "/team"})
	if !errors.Is(err, ErrRefused) {
		t.Fatalf("without credentials: %v", err)
	}
	config := `{"auths":{"` + host + `":{"auth":"YWRhOmVuZ2luZQ=="}}}` // ada:engine
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t).Push(t.Context(), Target{Prefix: host + "/team"}); err != nil {
		t.Error(err)
	}
	wrong := strings.Replace(config, "YWRhOmVuZ2luZQ==", "YWRhOmxvdmU=", 1)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = build(t).Push(t.Context(), Target{Prefix: host + "/team"})
	if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "love") || strings.Contains(err.Error(), "YWRh") {
		t.Errorf("wrong credentials: %v", err)
	}
}

func TestAPushEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("Ctrl-C")
	host := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			stop(why)
			<-r.Context().Done()
		})
	})
	if _, err := build(t).Push(ctx, Target{Prefix: host + "/team", Keychain: authn.NewMultiKeychain()}); !errors.Is(err, why) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestALayoutThatLacksABlobIsNotPushed(t *testing.T) {
	l := build(t)
	_, img := image(t, l.Dir, "twin", "arm64")
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(string) error{"cut off": func(file string) error { return os.Truncate(file, 1) }, "gone": os.Remove} {
		if err := spoil(blobFile(l, digest)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(l.Dir); err == nil || !strings.Contains(err.Error(), "image twin") || !strings.Contains(err.Error(), digest.String()) {
			t.Errorf("a layer is %s: %v", what, err)
		}
		if err := os.WriteFile(blobFile(l, digest), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func blobFile(l *Layout, digest v1.Hash) string {
	return filepath.Join(l.Dir, "blobs", digest.Algorithm, digest.Hex)
}
