package release

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/deploy/images"
	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

// homepage is where people read of the project.
const homepage = "https://" + ours

// Options say what to bundle.
type Options struct {
	Binaries  string    // folder with linux_amd64/tightrope and so on
	Documents []string  // files that are in every archive, such as LICENSE
	Modules   string    // Go's cache of modules, where their licences are
	GoLicence string    // file with the licence of Go itself
	Platforms []string  // as linux/amd64; nil means Platforms
	Lab       []string  // architectures of Linux that get an archive with the lab, too
	Images    string    // folder of the OCI layout with the release's images; empty: without
	Version   string    // as v1.2.3 or v1.2.3-rc.1
	Created   time.Time // written into everything, to the second
	URL       string    // folder that the files will be downloaded from; empty means that of the project's release
}

func (o Options) withDefaults() Options {
	if o.Platforms == nil {
		o.Platforms = Platforms
	}
	o.Created = o.Created.UTC().Truncate(time.Second)
	o.URL = cmp.Or(o.URL, homepage+"/releases/download/"+o.Version)
	return o
}

// versions are those that krew takes, and that may stand in the name of a file and in
// an image's tag.
var versions = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func (o Options) validate() error {
	if !versions.MatchString(o.Version) || len(o.Version) > 63 { // it is the value of a label, too
		return fmt.Errorf("version %.80q: want a semantic version with a v and without +, of at most 63 characters, as v1.2.3 or v1.2.3-rc.1", o.Version)
	}
	if o.Created.IsZero() {
		return errors.New("no time is given that the files are of: name it in SOURCE_DATE_EPOCH, in seconds since 1970")
	}
	for _, p := range o.Platforms {
		if !slices.Contains(Platforms, p) {
			return fmt.Errorf("platform %.40q: there is no release for it; there is one for %s", p, strings.Join(Platforms, ", "))
		}
	}
	for _, arch := range o.Lab {
		if !slices.Contains(o.Platforms, "linux/"+arch) {
			return fmt.Errorf("a lab for linux/%.40s: the platform is not among %s", arch, strings.Join(o.Platforms, ", "))
		}
	}
	return nil
}

// Make bundles everything into dir, which replaces what an earlier Make left there and
// nothing else. It returns the names of the files. dir is as before where it fails.
func Make(dir string, o Options) ([]string, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	if err := replaceable(dir); err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	beside, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".release-")
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	defer os.RemoveAll(beside)
	fresh := filepath.Join(beside, "fresh")
	err = os.Mkdir(fresh, 0o755)
	var files []string
	if err == nil {
		files, err = o.fill(fresh)
	}
	if err == nil {
		err = replace(dir, fresh, filepath.Join(beside, "before"))
	}
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", o.Version, err)
	}
	return files, nil
}

// replace puts a folder in the place of another one, which may not be there.
func replace(dir, fresh, before string) error {
	if err := os.Rename(dir, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil {
		_ = os.Rename(before, dir) // as it was, where there was one
		return err
	}
	return nil
}

// fill makes all files in an empty folder.
func (o Options) fill(dir string) ([]string, error) {
	archives := map[bundle]string{}
	scratch := filepath.Join(filepath.Dir(dir), notices)
	for _, b := range bundles(o.Platforms, o.Lab) {
		sum, err := o.bundle(dir, b, scratch)
		if err != nil {
			return nil, err
		}
		archives[b] = sum
	}
	if err := o.saveImages(dir); err != nil {
		return nil, err
	}
	text, err := krew(o.Version, o.URL, archives)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, manifest), text, 0o644)
	}
	if err != nil {
		return nil, err
	}
	return writeSums(dir)
}

// bundle writes one archive and its SBOM, and returns the archive's SHA-256. Scratch is
// a file's name for what goes into the archive only.
func (o Options) bundle(dir string, b bundle, scratch string) (string, error) {
	members := []member{{notices, scratch, 0o644}}
	for _, document := range o.Documents {
		members = append(members, member{filepath.Base(document), document, 0o644})
	}
	list := sbom.Document{Name: b.stem(o.Version), Version: o.Version, Created: o.Created, Archive: b.file(o.Version)}
	for _, name := range b.programs() {
		p, err := readProgram(o.Binaries, b, name)
		if err != nil {
			return "", err
		}
		list.Programs = append(list.Programs, p)
		members = append(members, member{b.executable(name), filepath.Join(o.Binaries, b.folder(), b.executable(name)), 0o755})
	}
	if err := o.writeNotices(scratch, list.Programs); err != nil {
		return "", err
	}
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	file := filepath.Join(dir, list.Archive)
	err := writeArchive(file, members, o.Created)
	if err == nil {
		list.Digest, err = digest(file)
	}
	if err != nil {
		return "", err
	}
	text, err := list.JSON()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, list.Name+".spdx.json"), append(text, '\n'), 0o644)
	}
	return list.Digest, err
}

// saveImages writes the images as `tightrope images load` reads them.
func (o Options) saveImages(dir string) error {
	if o.Images == "" {
		return nil
	}
	l, err := images.Open(o.Images)
	if err != nil {
		return err
	}
	for _, i := range l.Images {
		if i.Version != o.Version {
			return fmt.Errorf("image %s in %s is of version %.80q; build it with `make release`", i.Name, o.Images, i.Version)
		}
	}
	return l.SaveFile(filepath.Join(dir, cli+"_"+o.Version+"_images.tar"), "")
}

// writeSums writes the SHA-256 of every file as sha256sum does, and returns all names.
func writeSums(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	var names []string
	for _, e := range entries {
		sum, err := digest(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, e.Name())
		names = append(names, e.Name())
	}
	return append(names, sums), os.WriteFile(filepath.Join(dir, sums), []byte(text.String()), 0o644)
}

// made are the names of what Make writes.
var made = regexp.MustCompile(`^(SHA256SUMS|tightrope\.yaml|tightrope(-cli)?_v[0-9A-Za-z.-]+_(\w+_\w+\.(tar\.gz|zip|spdx\.json)|images\.tar))$`)

// replaceable refuses a folder that holds something else than a release.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755)
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if !made.MatchString(e.Name()) || !e.Type().IsRegular() {
			return fmt.Errorf("%s holds %.100q, which is no part of a release, so the folder is not replaced; name another one, or empty it", dir, e.Name())
		}
	}
	return nil
}

// sorted are the archives by name.
func sorted(archives map[bundle]string) []bundle {
	return slices.SortedFunc(maps.Keys(archives), func(a, b bundle) int { return cmp.Compare(a.file(""), b.file("")) })
}
