package release

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tested are the platforms that the tests bundle for: each kind of archive, and little
// to compile.
var tested = []string{"linux/amd64", "windows/amd64"}

// built is a folder with a small program in the place of each of ours.
var built struct {
	tried  bool
	folder string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// small is a module of our name whose programs do next to nothing.
func small(folder string) error {
	err := os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module "+ours+"\n\ngo 1.26\n"), 0o600)
	for _, pkg := range programs {
		dir := filepath.Join(folder, strings.TrimPrefix(pkg, ours))
		err = errors.Join(err, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { println(\""+pkg+"\") }\n"), 0o600))
	}
	return err
}

func compile(source, out, pkg, platform string, flags ...string) error {
	system, arch, _ := strings.Cut(platform, "/")
	cmd := exec.Command("go", append(append([]string{"build", "-ldflags=-s -w", "-o", out}, flags...), pkg)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOOS="+system, "GOARCH="+arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

func binaries(t *testing.T) string {
	t.Helper()
	if !built.tried {
		built.tried = true
		built.folder, built.err = makeBinaries()
	}
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.folder
}

func makeBinaries() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "release"); err != nil {
		return "", err
	}
	source := filepath.Join(folder, "source")
	err = errors.Join(os.Mkdir(source, 0o755), small(source))
	for _, b := range bundles(tested, []string{"amd64"}) {
		for _, name := range b.programs() {
			out := filepath.Join(folder, b.folder(), b.executable(name))
			if _, err := os.Stat(out); err == nil {
				continue // of the platform's other archive
			}
			err = errors.Join(err, compile(source, out, programs[name], b.platform(), "-trimpath"))
		}
	}
	return folder, err
}

// copied is a folder of a test's own, with the same programs.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(binaries(t))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whatever is not the program that it is called is named, and nothing is left.
func TestWhatIsNoProgramOfOursIsNamed(t *testing.T) {
	const labd = "linux_amd64/labd"
	for name, tt := range map[string]struct {
		change func(t *testing.T, folder string) error
		says   []string
	}{
		"missing": {func(_ *testing.T, folder string) error { return os.Remove(filepath.Join(folder, labd)) },
			[]string{"program labd for linux/amd64", "no such file", "make release"}},
		"a folder": {func(_ *testing.T, folder string) error {
			return errors.Join(os.Remove(filepath.Join(folder, labd)), os.Mkdir(filepath.Join(folder, labd), 0o755))
		}, []string{labd, "regular file"}},
		"no Go program": {func(_ *testing.T, folder string) error {
			return os.WriteFile(filepath.Join(folder, labd), []byte("#!/bin/sh\n"), 0o755)
		}, []string{labd, "no Go program"}},
		"another program": {func(_ *testing.T, folder string) error {
			return os.Rename(filepath.Join(folder, "linux_amd64/twin"), filepath.Join(folder, labd))
		}, []string{labd + " is the program", "cmd/twin", "clusters/labd is wanted"}},
		"for another system": {func(_ *testing.T, folder string) error {
			return os.Rename(filepath.Join(folder, "windows_amd64/tightrope.exe"), filepath.Join(folder, "linux_amd64/tightrope"))
		}, []string{"linux_amd64/tightrope", "for windows/amd64 and not for linux/amd64"}},
		"with paths": {func(_ *testing.T, folder string) error {
			return compile(filepath.Join(folder, "source"), filepath.Join(folder, labd), programs["labd"], "linux/amd64")
		}, []string{labd, "-trimpath"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Binaries = copied(t)
			if err := tt.change(t, o.Binaries); err != nil {
				t.Fatal(err)
			}
			parent := t.TempDir()
			_, err := Make(filepath.Join(parent, "dist"), o)
			if err == nil {
				t.Fatal("it was bundled")
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// A platform's archives hold what their names say.
func TestEveryPlatformHasItsArchives(t *testing.T) {
	var got []string
	for _, b := range bundles(Platforms, []string{"amd64", "arm64"}) {
		got = append(got, fmt.Sprintf("%s %d", b.file("v1.2.3"), len(b.programs())))
	}
	want := []string{
		"tightrope_v1.2.3_darwin_amd64.tar.gz 1", "tightrope_v1.2.3_darwin_arm64.tar.gz 1",
		"tightrope_v1.2.3_linux_amd64.tar.gz 7", "tightrope-cli_v1.2.3_linux_amd64.tar.gz 1",
		"tightrope_v1.2.3_linux_arm64.tar.gz 7", "tightrope-cli_v1.2.3_linux_arm64.tar.gz 1",
		"tightrope_v1.2.3_windows_amd64.zip 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("archives\n%q\nwant\n%q", got, want)
	}
}
