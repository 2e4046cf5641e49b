package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATreeComesBackAsItWas(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"a": "one", "d/b": strings.Repeat("x", 100_000), "d/empty": ""} {
		file := filepath.Join(from, "tree", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(from, "tree", "link")); err != nil {
		t.Fatal(err)
	}
	run := func(in *bytes.Buffer, args ...string) *bytes.Buffer {
		t.Helper()
		j, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		out := &bytes.Buffer{}
		if err := j.run(in, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	packed := run(nil, "cf", "-", filepath.Join(from, "tree"))
	for range 2 { // what is there is replaced
		run(bytes.NewBuffer(packed.Bytes()), "--no-same-permissions", "-xmf", "-", "-C", to)
	}
	tree := filepath.Join(to, from, "tree")
	if b, err := os.ReadFile(filepath.Join(tree, "d/b")); err != nil || len(b) != 100_000 {
		t.Errorf("d/b has %d bytes, %v", len(b), err)
	}
	if st, err := os.Stat(filepath.Join(tree, "a")); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("a: %v, %v", st, err)
	}
	if link, err := os.Readlink(filepath.Join(tree, "link")); err != nil || link != "a" {
		t.Errorf("link to %q, %v", link, err)
	}
}

func TestNothingLeavesTheDirectory(t *testing.T) {
	for _, entries := range [][]*tar.Header{
		{{Name: "../out", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "link/out", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "null", Typeflag: tar.TypeChar}},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range entries {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		err := extract(&b, dir)
		if _, statErr := os.Lstat(filepath.Join(parent, "out")); err == nil || statErr == nil {
			t.Errorf("%s: error %v; a file outside: %v", entries[0].Name, err, statErr == nil)
		}
	}
}

func TestWhatTarCannotDoIsNamed(t *testing.T) {
	for want, args := range map[string][]string{
		"option z": {"czf", "-", "x"}, "--wildcards": {"xf", "-", "--wildcards"}, "one of c and x": {"f", "-"},
		"streams only": {"cf", "file", "x"}, "wants an argument": {"cf"},
	} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	dir := t.TempDir()
	for want, args := range map[int][]string{0: {"-d", dir}, 1: {"-f", dir}, 2: {"-x", dir}} {
		if got := Command("test")(args); got != want {
			t.Errorf("test %q: %d, want %d", args, got, want)
		}
	}
	if Command("sh") != nil {
		t.Error("there is a shell")
	}
}
