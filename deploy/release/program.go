package release

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

// maxFile bounds what is read of one file, in bytes. The largest program has 170 MB.
const maxFile = 1 << 30

// readProgram checks that a file is the program it is called, for the platform, and
// built so that the same source gives the same bytes.
func readProgram(folder string, b bundle, name string) (p sbom.Program, err error) {
	file := filepath.Join(folder, b.folder(), b.executable(name))
	p = sbom.Program{Name: name, Platform: b.platform()}
	if p.Digest, err = digest(file); err != nil {
		return p, fmt.Errorf("program %s for %s: %w; build it with `make release`", name, b.platform(), err)
	}
	if p.Info, err = buildinfo.ReadFile(file); err != nil {
		return p, fmt.Errorf("%s: what it was built from cannot be read, so it is no Go program, and there is no SBOM: %w; build it with `make release`", file, err)
	}
	if p.Info.Path != programs[name] {
		return p, fmt.Errorf("%s is the program %.200q, and %s is wanted; build it with `make release`", file, p.Info.Path, programs[name])
	}
	has := map[string]string{}
	for _, s := range p.Info.Settings {
		has[s.Key] = s.Value
	}
	if got := has["GOOS"] + "/" + has["GOARCH"]; got != b.platform() {
		return p, fmt.Errorf("%s is a program for %.40s and not for %s; build it with `make release`", file, got, b.platform())
	}
	if has["CGO_ENABLED"] != "0" {
		return p, fmt.Errorf("%s may need libraries of the machine that built it; build it with CGO_ENABLED=0", file)
	}
	if has["-trimpath"] != "true" {
		return p, fmt.Errorf("%s holds paths of the machine that built it, so that another one would build other bytes; build it with -trimpath", file)
	}
	return p, nil
}

// digest is the SHA-256 of a file, in hexadecimal.
func digest(file string) (string, error) {
	f, _, err := open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// open opens a regular file, and says how long it is.
func open(file string) (*os.File, int64, error) {
	st, err := os.Stat(file) // before opening: a pipe would wait for a writer
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, 0, fmt.Errorf("%s: a regular file of at most %d MB is wanted", file, maxFile>>20)
	}
	f, err := os.Open(file)
	return f, st.Size(), err
}
