package release

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

// cache is a module cache with licences, and a program that is linked with its modules.
func cache(t *testing.T) (Options, []sbom.Program) {
	t.Helper()
	o := Options{Modules: t.TempDir(), GoLicence: filepath.Join(t.TempDir(), "LICENSE")}
	files := map[string]string{
		"example.org/a@v1.0.0/LICENSE":     "the usual terms\n",
		"example.org/!b@v2.0.0/COPYING":    "the usual terms\n",
		"example.org/!b@v2.0.0/NOTICE.txt": "made by somebody\n",
		"example.org/!b@v2.0.0/main.go":    "package main\n",
	}
	err := os.WriteFile(o.GoLicence, []byte("terms of Go\n"), 0o600)
	for name, text := range files {
		file := filepath.Join(o.Modules, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &debug.Module{Path: "example.org/a", Version: "v1.0.0"}
	old := &debug.Module{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/B", Version: "v2.0.0"}}
	self := &debug.Module{Path: ours + "/clusters/labd", Version: "v0.0.0"}
	return o, []sbom.Program{{Info: &debug.BuildInfo{Deps: []*debug.Module{a, self}}}, {Info: &debug.BuildInfo{Deps: []*debug.Module{old, a}}}}
}

// Every licence is there, and one that several modules have is there once.
func TestNoticesHaveEveryLicenceOnce(t *testing.T) {
	o, programs := cache(t)
	file := filepath.Join(t.TempDir(), notices)
	if err := o.writeNotices(file, programs); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for part, times := range map[string]int{
		"terms of Go": 1, "Go's standard library (LICENSE)": 1, "the usual terms": 1, "made by somebody": 1,
		"example.org/a v1.0.0 (LICENSE)": 1, "example.org/B v2.0.0 (COPYING)": 1, "example.org/B v2.0.0 (NOTICE.txt)": 1,
		ours: 0, "package main": 0,
	} {
		if got := strings.Count(text, part); got != times {
			t.Errorf("%q is there %d times, want %d:\n%s", part, got, times, text)
		}
	}
}

func TestAModuleWithoutALicenceStopsTheRelease(t *testing.T) {
	o, programs := cache(t)
	for _, name := range []string{"COPYING", "NOTICE.txt"} {
		if err := os.Remove(filepath.Join(o.Modules, "example.org/!b@v2.0.0", name)); err != nil {
			t.Fatal(err)
		}
	}
	err := o.writeNotices(filepath.Join(t.TempDir(), notices), programs)
	if err == nil || !strings.Contains(err.Error(), "module example.org/B v2.0.0 has no licence") {
		t.Errorf("no licence: %v", err)
	}
	o.Modules = t.TempDir()
	if err := o.writeNotices(filepath.Join(t.TempDir(), notices), programs); err == nil || !strings.Contains(err.Error(), "go mod download") {
		t.Errorf("no cache: %v", err)
	}
}
