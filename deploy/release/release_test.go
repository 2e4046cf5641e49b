package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// options are those of a release of the tests' programs.
func options(t *testing.T) Options {
	t.Helper()
	documents := t.TempDir()
	for _, name := range []string{"LICENSE", "README.md", "GO"} {
		if err := os.WriteFile(filepath.Join(documents, name), []byte("This is "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Binaries: binaries(t), Documents: []string{filepath.Join(documents, "README.md"), filepath.Join(documents, "LICENSE")},
		Modules: t.TempDir(), GoLicence: filepath.Join(documents, "GO"),
		Platforms: tested, Lab: []string{"amd64"}, Version: "v1.2.3-rc.1", Created: time.Unix(1_700_000_001, 0)}
}

// make bundles into a folder of the test's own, and reads it.
func makeIn(t *testing.T, o Options) map[string][]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dist")
	names, err := Make(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Fatalf("%d files, and %d were told of: %v", len(entries), len(names), err)
	}
	for _, name := range names {
		if all[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Neither another moment, nor other times and modes of the files that are packed, nor another
// order of them makes another byte.
func TestTwoReleasesAreTheSameBytes(t *testing.T) {
	o := options(t)
	first := makeIn(t, o)
	o.Binaries = copied(t) // with new times
	if err := os.Chmod(filepath.Join(o.Binaries, "linux_amd64", "tightrope"), 0o700); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(o.Documents)
	slices.Reverse(o.Platforms)
	o.Created = o.Created.Add(time.Millisecond).In(time.FixedZone("", 3600))
	second := makeIn(t, o)
	if len(first) != 8 || len(second) != len(first) {
		t.Fatalf("%d and %d files, want 3 archives, 3 SBOMs, krew's manifest and the checksums", len(first), len(second))
	}
	for name, text := range first {
		if !bytes.Equal(second[name], text) {
			t.Errorf("%s differs", name)
		}
	}
}

// entry is a file of an archive.
type entry struct {
	name  string
	mode  os.FileMode
	owner string
	time  int64
}

func entriesOf(t *testing.T, name string, archive []byte) (all []entry) {
	t.Helper()
	if strings.HasSuffix(name, ".zip") {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			all = append(all, entry{f.Name, f.Mode(), "", f.Modified.Unix()})
		}
		return all
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(unpacked); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{h.Name, h.FileInfo().Mode(), fmt.Sprintf("%d:%d %s:%s", h.Uid, h.Gid, h.Uname, h.Gname), h.ModTime.Unix()})
	}
}

func TestArchivesAreSortedAndBelongToRoot(t *testing.T) {
	all := makeIn(t, options(t))
	for name, programs := range map[string][]string{
		"tightrope_v1.2.3-rc.1_linux_amd64.tar.gz":     {"agent", "controller", "hyperkube", "labd", "standin", "tightrope", "twin"},
		"tightrope-cli_v1.2.3-rc.1_linux_amd64.tar.gz": {"tightrope"},
		"tightrope_v1.2.3-rc.1_windows_amd64.zip":      {"tightrope.exe"},
	} {
		owner := "0:0 root:root"
		if strings.HasSuffix(name, ".zip") {
			owner = "" // zip knows none
		}
		want := []entry{{"LICENSE", 0o644, owner, 1_700_000_001}, {"README.md", 0o644, owner, 1_700_000_001}, {notices, 0o644, owner, 1_700_000_001}}
		for _, p := range programs {
			want = append(want, entry{p, 0o755, owner, 1_700_000_001})
		}
		if got := entriesOf(t, name, all[name]); !slices.Equal(got, want) {
			t.Errorf("%s\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

// SHA256SUMS has every other file, in the form that sha256sum checks.
func TestChecksumsAreOfEveryFile(t *testing.T) {
	all := makeIn(t, options(t))
	lines := strings.Split(strings.TrimSuffix(string(all[sums]), "\n"), "\n")
	if len(lines) != len(all)-1 || !slices.IsSortedFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) }) {
		t.Errorf("%d lines for %d files, or not in order", len(lines), len(all))
	}
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		if want := fmt.Sprintf("%x", sha256.Sum256(all[name])); all[name] == nil || sum != want {
			t.Errorf("%q, want %s", line, want)
		}
	}
}

// The manifest has krew's documented fields and no other one, and names the archives
// that are there, by their checksums.
func TestTheManifestIsKrews(t *testing.T) {
	all := makeIn(t, options(t))
	var p struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			Version, Homepage, ShortDescription, Description, Caveats string
			Platforms                                                 []struct {
				URI, SHA256, Bin string
				Selector         struct{ MatchLabels map[string]string }
				Files            []struct{ From, To string }
			}
		}
	}
	if err := yaml.UnmarshalStrict(all[manifest], &p); err != nil {
		t.Fatal(err)
	}
	s := p.Spec
	if p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || p.Kind != "Plugin" || p.Metadata.Name+".yaml" != manifest || s.Version != "v1.2.3-rc.1" {
		t.Errorf("%+v", p)
	}
	if s.ShortDescription == "" || len(s.ShortDescription) > 50 || strings.ContainsAny(s.ShortDescription, "\r\n") || !strings.HasPrefix(s.Homepage, "https://") {
		t.Errorf("short description %q, homepage %q", s.ShortDescription, s.Homepage)
	}
	var files []string
	for _, platform := range s.Platforms {
		folder, file := filepath.Split(platform.URI)
		files = append(files, file)
		if folder != "https://github.com/tightrope-dev/tightrope/releases/download/v1.2.3-rc.1/" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(platform.SHA256) {
			t.Errorf("%+v", platform)
		}
		if !strings.Contains(string(all[sums]), platform.SHA256+"  "+file+"\n") {
			t.Errorf("%s is not in %s with the sum %s", file, sums, platform.SHA256)
		}
		if !slices.ContainsFunc(entriesOf(t, file, all[file]), func(e entry) bool { return e.name == platform.Bin && e.mode&0o111 != 0 }) {
			t.Errorf("%s has no program %s", file, platform.Bin)
		}
		labels := platform.Selector.MatchLabels
		if len(labels) != 2 || !strings.Contains(file, "_"+labels["os"]+"_"+labels["arch"]+".") {
			t.Errorf("%s is for %v", file, labels)
		}
	}
	if want := []string{"tightrope-cli_v1.2.3-rc.1_linux_amd64.tar.gz", "tightrope_v1.2.3-rc.1_windows_amd64.zip"}; !slices.Equal(files, want) {
		t.Errorf("archives %q, want %q: the command line alone", files, want)
	}
}

// A new release replaces an older one, and nothing else.
func TestOnlyAReleaseIsReplaced(t *testing.T) {
	o := options(t)
	o.Lab = nil
	dir := filepath.Join(t.TempDir(), "dist")
	for _, o.Version = range []string{"v1.0.0", "v1.1.0"} {
		if _, err := Make(dir, o); err != nil {
			t.Fatal(err)
		}
	}
	if old, _ := filepath.Glob(filepath.Join(dir, "*v1.0.0*")); len(old) > 0 {
		t.Errorf("%v is left of the older release", old)
	}
	mine := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Version = "v1.2.0"
	if _, err := Make(dir, o); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a folder with somebody's notes: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*Options)
		says string
	}{
		"no version":              {func(o *Options) { o.Version = "" }, `version ""`},
		"a commit as the version": {func(o *Options) { o.Version = "cbfabba" }, `version "cbfabba"`},
		"a path in the version":   {func(o *Options) { o.Version = "v1.0.0-../../x" }, "semantic version"},
		"a plus in the version":   {func(o *Options) { o.Version = "v1.0.0+dirty" }, "without +"},
		"a long version":          {func(o *Options) { o.Version = "v1.0.0-" + strings.Repeat("x", 60) }, "63 characters"},
		"no time":                 {func(o *Options) { o.Created = time.Time{} }, "SOURCE_DATE_EPOCH"},
		"an unknown platform":     {func(o *Options) { o.Platforms = []string{"plan9/amd64"} }, "plan9/amd64"},
		"a lab without Linux":     {func(o *Options) { o.Lab = []string{"arm64"} }, "linux/arm64"},
		"no licence":              {func(o *Options) { o.Documents = []string{"/nowhere/LICENSE"} }, "/nowhere/LICENSE"},
		"no licence of Go":        {func(o *Options) { o.GoLicence = "/nowhere/GO" }, "Go's standard library"},
		"no images":               {func(o *Options) { o.Images = t.TempDir() }, "no OCI layout"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			tt.edit(&o)
			dir := filepath.Join(t.TempDir(), "dist")
			if _, err := Make(dir, o); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the folder is there: %v", err)
			}
		})
	}
}
