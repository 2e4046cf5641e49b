package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
)

// shape is a file as people write them, and what it is after the correction.
type shape struct {
	says     []string
	in, want []byte
}

// shapes are those of testdata/fix. What txtar cannot hold is an option there.
func shapes(t *testing.T) map[string]shape {
	t.Helper()
	files, err := filepath.Glob("testdata/fix/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/fix: %v", err)
	}
	all := map[string]shape{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := shape{in: archive.Files[0].Data, want: archive.Files[1].Data}
		for line := range strings.Lines(string(archive.Comment)) {
			if says, ok := strings.CutPrefix(strings.TrimSpace(line), "says: "); ok {
				s.says = append(s.says, says)
			}
			options, ok := strings.CutPrefix(line, "options: ")
			for _, o := range strings.Fields(options) {
				if ok {
					s.in, s.want = optioned(t, o, s.in), optioned(t, o, s.want)
				}
			}
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txtar")] = s
	}
	return all
}

func optioned(t *testing.T, option string, text []byte) []byte {
	switch option {
	case "crlf":
		return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	case "unended":
		return bytes.TrimRight(text, "\r\n")
	case "bom":
		return append([]byte("\ufeff"), text...)
	}
	t.Fatalf("no option is called %q", option)
	return nil
}

// Whatever a file looks like, only what is corrected changes in it, and nothing
// is left to correct but what was said to be left.
func TestLintWritesIntoFilesOfEveryShape(t *testing.T) {
	for name, s := range shapes(t) {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("in.yaml", s.in, 0o640); err != nil {
				t.Fatal(err)
			}
			code, _, errs := said(t, "lint", "-f", "in.yaml", "--fix", "--write")
			if code != exitOK {
				t.Errorf("exit code %d: %s", code, errs)
			}
			contains(t, errs, s.says...)
			got, err := os.ReadFile("in.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, s.want) {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s\n%q", errs, got, s.want, got)
			}
			if entries, _ := os.ReadDir("."); len(entries) != 1 {
				t.Errorf("it leaves %v", entries)
			}
		})
	}
}

const (
	wrongPolicy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ai, name: NAME}\nspec:\n  podSelector: {}\n  ingress:\n  - from: []\n    ports: [{port: 80}]\n"
	rightPolicy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ai, name: NAME}\nspec:\n  podSelector: {}\n  ingress:\n  - ports: [{port: 80}]\n"
)

func named(text, name string) string { return strings.ReplaceAll(text, "NAME", name) }

// put writes files into a folder of the test's own, where it then is.
func put(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wantFiles holds files against what they are to be; nothing else may lie there.
func wantFiles(t *testing.T, files map[string]string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err != nil || found != len(files) {
		t.Errorf("%d files instead of %d (%v)", found, len(files), err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s (%v)\ngot:\n%s\nwant:\n%s", name, err, got, want)
		}
	}
}

// The file that a link leads to is written, and the link stays one; the mode and
// the owner stay too.
func TestLintWritesThroughLinksAndKeepsModes(t *testing.T) {
	put(t, map[string]string{"real/a.yaml": named(wrongPolicy, "a"), "in/b.yaml": named(wrongPolicy, "b")})
	if err := os.Symlink("../real/a.yaml", "in/a.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("real/a.yaml", 0o750|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat("real/a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := said(t, "lint", "-f", "in", "--write"); code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	wantFiles(t, map[string]string{"real/a.yaml": named(rightPolicy, "a"), "in/a.yaml": named(rightPolicy, "a"), "in/b.yaml": named(rightPolicy, "b")})
	if to, err := os.Readlink("in/a.yaml"); err != nil || to != "../real/a.yaml" {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
	after, err := os.Stat("real/a.yaml")
	if err != nil || after.Mode() != before.Mode() {
		t.Errorf("mode %v became %v (%v)", before.Mode(), after.Mode(), err)
	}
	if os.SameFile(before, after) {
		t.Error("the file was written in place: whoever reads it may see half of it")
	}
}

// Owners stay, where whoever runs lint may give files away.
func TestLintKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	put(t, map[string]string{"a.yaml": named(wrongPolicy, "a")})
	if err := os.Chown("a.yaml", 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := said(t, "lint", "-f", ".", "--write"); code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	info, err := os.Stat("a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if own := info.Sys().(*syscall.Stat_t); own.Uid != 12345 || own.Gid != 23456 {
		t.Errorf("the owner became %d:%d", own.Uid, own.Gid)
	}
}

// What --write cannot do it refuses, and no file is touched, not even those that
// could be written.
func TestLintRefusesToWrite(t *testing.T) {
	files := map[string]string{"a.yaml": named(wrongPolicy, "a"), "b.yaml": named(wrongPolicy, "b")}
	for name, tt := range map[string]struct {
		arrange func() error
		args    []string
		says    string
	}{
		"into standard input":         {nil, []string{"-f", "-"}, "--write writes into files: name them with -f"},
		"into a cluster":              {nil, nil, "--write writes into files: name them with -f"},
		"into standard input, too":    {nil, []string{"-f", "a.yaml", "-f", "-"}, "--write writes into files"},
		"into a file that is not one": {nil, []string{"-f", "none.yaml"}, "none.yaml"},
		"into a read-only file":       {func() error { return os.Chmod("b.yaml", 0o444) }, []string{"-f", "."}, "b.yaml: is read-only: allow writing (chmod u+w), or print the corrections with --fix alone; nothing was written"},
		"policies of one name": {func() error { return os.WriteFile("b.yaml", []byte(named(wrongPolicy, "a")), 0o644) }, []string{"-f", "."},
			"b.yaml:1: NetworkPolicy ai/a: is declared twice: first at a.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, files)
			if tt.arrange != nil {
				if err := tt.arrange(); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile("b.yaml")
			if err != nil {
				t.Fatal(err)
			}
			code, out, errs := said(t, append([]string{"lint", "--fix", "--write"}, tt.args...)...)
			if code != exitUsage || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			contains(t, errs, tt.says)
			wantFiles(t, map[string]string{"a.yaml": files["a.yaml"], "b.yaml": string(b)})
		})
	}
}

// Files are only replaced once all new contents are on disk, and none that
// changed after it was read.
func TestOverwriteAllReplacesAllOrNone(t *testing.T) {
	old := map[string][]byte{"a": []byte("old a"), "b": []byte("old b")}
	anew := map[string][]byte{"a": []byte("new a"), "b": []byte("new b")}
	for name, tt := range map[string]struct {
		arrange func() error
		says    string
		want    map[string]string
	}{
		"both":            {func() error { return nil }, "", map[string]string{"a": "new a", "b": "new b"}},
		"one is gone":     {func() error { return os.Remove("b") }, "nothing was written", map[string]string{"a": "old a"}},
		"one is a folder": {func() error { return errors.Join(os.Remove("b"), os.Mkdir("b", 0o755)) }, "b: is not a regular file", map[string]string{"a": "old a"}},
		"the first has changed": {func() error { return os.WriteFile("a", []byte("theirs"), 0o644) },
			"a: the file is no longer what was read: run the command again; of 2 files the first 0 were written", map[string]string{"a": "theirs", "b": "old b"}},
		"the second has changed": {func() error { return os.WriteFile("b", []byte("theirs"), 0o644) },
			"of 2 files the first 1 were written", map[string]string{"a": "new a", "b": "theirs"}},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, map[string]string{"a": "old a", "b": "old b"})
			if err := tt.arrange(); err != nil {
				t.Fatal(err)
			}
			err := overwriteAll([]string{"a", "b"}, old, anew)
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
			wantFiles(t, tt.want)
			left, _ := filepath.Glob(".lint-*")
			if len(left) > 0 {
				t.Errorf("it leaves %v", left)
			}
		})
	}
}

// What --fix prints can be read again, and means what --write would write.
func TestLintPrintsDocumentsThatCanBeApplied(t *testing.T) {
	for name, s := range shapes(t) {
		t.Run(name, func(t *testing.T) {
			put(t, map[string]string{"in.yaml": string(s.in)})
			code, out, errs := said(t, "lint", "-f", "in.yaml", "--fix")
			if code > exitCut || !strings.HasPrefix(out, "---\n# in.yaml:") {
				t.Fatalf("exit code %d: %s\n%s", code, errs, out)
			}
			wantFiles(t, map[string]string{"in.yaml": string(s.in)})
			put(t, map[string]string{"out.yaml": out})
			if strings.Contains(out, "kind: PolicyRollout") {
				return // it cannot be read without its suite
			}
			if code, out, errs := said(t, "lint", "-f", "out.yaml"); code != exitOK && code != exitInconclusive { // most have no workload
				t.Errorf("exit code %d: %s\n%s", code, errs, out)
			}
		})
	}
}

// Text that a terminal would obey, or not show, is printed as escapes that mean
// the same to whoever applies it; what is merely long or spaced is printed as it is.
func TestLintPrintsHostileTextAsEscapes(t *testing.T) {
	const hostile, blanks = "x\u202ey\x1bz", "a\u2800b\u00a0c\u3000d\ufeffe\tf"
	long := strings.Repeat("a  b ", 400)
	text := strings.Replace(named(wrongPolicy, "a"), "spec:", "# \u202ecomment\nspec:", 1)
	text = strings.Replace(text, "name: a}", "name: a, annotations: {hostile: \"x\u202ey\\ez\", blanks: '"+blanks+"', long: '"+long+"'}}", 1)
	for name, text := range map[string]string{"line feeds": text, "carriage returns": strings.ReplaceAll(text, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			put(t, map[string]string{"in.yaml": text})
			_, out, errs := said(t, "lint", "-f", "in.yaml", "--fix")
			if strings.ContainsAny(out, "\u202e\x1b\r\t\u2800\u00a0\ufeff") {
				t.Errorf("it prints what a terminal obeys, or does not show: %q", out)
			}
			var got struct {
				Metadata struct{ Annotations map[string]string }
			}
			if err := yaml.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s\n%s", err, errs, out)
			}
			if a := got.Metadata.Annotations; a["hostile"] != hostile || a["blanks"] != blanks || a["long"] != long {
				t.Errorf("it reads %q", a)
			}
		})
	}
}
