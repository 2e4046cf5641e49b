package images

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

// linked is the program as if it had been linked with digests.
func linked(t *testing.T, digests string) {
	t.Helper()
	was := Released
	Released = digests
	t.Cleanup(func() { Released = was })
}

// What a release's program knows are the references that its layout gives.
func TestReleasedReferencesAreThoseOfTheLayout(t *testing.T) {
	l := build(t)
	linked(t, l.Digests())
	want, err := l.References("registry.example/team")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReleasedReferences("registry.example/team")
	if err != nil || !maps.Equal(got, want) || len(got) != len(Programs) {
		t.Errorf("%v: %v, want %v", err, got, want)
	}
	if _, err := ReleasedReferences("team"); err == nil || !strings.Contains(err.Error(), "REGISTRY/PREFIX") {
		t.Errorf("no registry: %v", err)
	}
}

func TestDigestsThatAreNoneAreRefused(t *testing.T) {
	whole := build(t).Digests()
	for name, digests := range map[string]string{
		"none":               "",
		"words":              "controller=latest",
		"another program":    strings.Replace(whole, "twin=", "twain=", 1),
		"a program missing":  whole[:strings.LastIndex(whole, ",")],
		"a digest cut short": whole[:len(whole)-1],
	} {
		linked(t, digests)
		if got, err := ReleasedReferences("registry.example/team"); !errors.Is(err, ErrNoLayout) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
