package literal

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The patches of testdata/bugs are mistakes that a compiler of policies can
// make. The comparison finds each of them. Every one takes a build, so it is done
// on demand; that the patches still apply is seen always.
func TestSeededBugsAreCaught(t *testing.T) {
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	must(t, err)
	if len(patches) < 10 {
		t.Errorf("%d seeded bugs were found, want at least 10", len(patches))
	}
	demanded := os.Getenv("TIGHTROPE_FUZZ_BUGS") != ""
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			overlay := patched(t, patch)
			if !demanded {
				t.Skip("set TIGHTROPE_FUZZ_BUGS=1, or run make fuzz-verdict, to build it with the bug")
			}
			out, err := compareWith(t, overlay)
			if err == nil || !strings.Contains(out, "seed ") || !strings.Contains(out, "says") && !strings.Contains(out, "panic") {
				t.Errorf("the bug was not found (%v):\n%s", err, out)
			}
		})
	}
}

// patched applies the patch to a copy of the files that it names, and returns
// which file stands in for which.
func patched(t *testing.T, patch string) map[string]string {
	text, err := os.ReadFile(patch)
	must(t, err)
	root, err := filepath.Abs("../..")
	must(t, err)
	dir, overlay := t.TempDir(), map[string]string{}
	for line := range bytes.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "+++ b/")
		if !ok {
			continue
		}
		source, err := os.ReadFile(filepath.Join(root, name))
		must(t, err)
		overlay[filepath.Join(root, name)] = filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), source, 0o644))
	}
	if len(overlay) == 0 {
		t.Fatalf("%s names no file", patch)
	}
	file, err := filepath.Abs(patch)
	must(t, err)
	cmd := exec.Command("git", "apply", file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir)) // no repository: apply to plain files
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s does not apply any more; make the same mistake in the code as it is now: %v\n%s", patch, err, out)
	}
	for _, name := range slices.Sorted(maps.Keys(overlay)) {
		was, err := os.ReadFile(name)
		must(t, err)
		is, err := os.ReadFile(overlay[name])
		must(t, err)
		if bytes.Equal(was, is) {
			t.Fatalf("%s changes nothing in %s", patch, name)
		}
	}
	return overlay
}

// compareWith runs the comparison with other files.
func compareWith(t *testing.T, replace map[string]string) (string, error) {
	dir := t.TempDir()
	b, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, b, 0o644))
	cmd := exec.Command("go", "test", "-trimpath", "-count=1", "-timeout=5m", "-overlay", overlay, "-run", "^TestDifferential$", ".", "-args", "-verdicts=1000000")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if keep := os.Getenv("TIGHTROPE_FUZZ_DIR"); keep != "" { // to look at what the bug looks like
		dir = filepath.Join(keep, filepath.Base(t.Name()))
	}
	cmd.Env = append(cmd.Env, "TIGHTROPE_FUZZ_DIR="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
