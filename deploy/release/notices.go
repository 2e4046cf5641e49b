package release

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

const (
	notices = "THIRD_PARTY_LICENSES"
	// maxNotice bounds one licence, in bytes.
	maxNotice = 1 << 20
)

// licences are the names of files with terms under which a module may be passed on.
var licences = regexp.MustCompile(`(?i)^(un)?(licen[cs]es?|copying|notice|patents)([._-].*)?$`)

// writeNotices writes the licences of all modules that the programs were linked with,
// and Go's own: most want to go with every copy. Equal texts are written once. A module
// without one is an error.
func (o Options) writeNotices(file string, programs []sbom.Program) error {
	var order []string             // the texts, as they are found
	names := map[string][]string{} // by text: whose it is
	add := func(whose, from string) error {
		text, err := readText(from)
		if err != nil {
			return fmt.Errorf("licence of %s: %w", whose, err)
		}
		if names[text] == nil {
			order = append(order, text)
		}
		names[text] = append(names[text], whose+" ("+filepath.Base(from)+")")
		return nil
	}
	if err := add("Go's standard library", o.GoLicence); err != nil {
		return err
	}
	for _, m := range linked(programs) {
		found, err := o.licencesOf(m)
		if err != nil {
			return err
		}
		for _, from := range found {
			if err := add(m.Path+" "+m.Version, from); err != nil {
				return err
			}
		}
	}
	var out strings.Builder
	out.WriteString("The programs beside this file hold, besides Tightrope itself, what follows, under these terms.\n")
	for _, text := range order {
		line := strings.Repeat("=", 80)
		fmt.Fprintf(&out, "\n%s\n%s\n%s\n\n%s\n", line, strings.Join(names[text], "\n"), line, strings.TrimSpace(text))
	}
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// linked are the modules of programs, each once, in order.
func linked(programs []sbom.Program) []module.Version {
	var all []module.Version
	for _, p := range programs {
		for _, m := range p.Info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			if !own(m) {
				all = append(all, module.Version{Path: m.Path, Version: m.Version})
			}
		}
	}
	module.Sort(all)
	return slices.Compact(all)
}

// own is true for a module of this repository.
func own(m *debug.Module) bool {
	return m.Path == ours || strings.HasPrefix(m.Path, ours+"/") || strings.HasPrefix(m.Path, ".")
}

// licencesOf are the files of a module in Go's cache, one at least.
func (o Options) licencesOf(m module.Version) (all []string, err error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return nil, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Modules, filepath.FromSlash(path)+"@"+version)
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return nil, fmt.Errorf("licence of module %s %s: %w; `go mod download` fetches it", m.Path, m.Version, err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && licences.MatchString(e.Name()) {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("module %s %s has no licence in %s: may it be passed on?", m.Path, m.Version, dir)
	}
	return all, nil
}

func readText(file string) (string, error) {
	f, size, err := open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if size > maxNotice {
		return "", fmt.Errorf("%s has more than %d MiB", file, maxNotice>>20)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNotice))
	return string(b), err
}
