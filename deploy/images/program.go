package images

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

// maxProgram bounds what is read of one binary, in bytes. The largest has 40 MB.
const maxProgram = 512 << 20

// program is one binary, read and checked.
type program struct {
	name    string
	arch    string
	content []byte
	info    *debug.BuildInfo
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// binary is where Build looks for a program.
func binary(folder, name, arch string) string {
	return filepath.Join(folder, linux+"_"+arch, name)
}

// readProgram refuses what would not start in an image that holds nothing else.
func readProgram(folder, name, arch string) (program, error) {
	path := binary(folder, name, arch)
	p := program{name: name, arch: arch}
	st, err := os.Stat(path)
	if err != nil {
		return p, fmt.Errorf("no program %s for %s/%s: %w; build it with `make images`", name, linux, arch, err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxProgram {
		return p, fmt.Errorf("%s is no program: a regular file of at most %d MB is needed", path, maxProgram>>20)
	}
	if p.content, err = os.ReadFile(path); err != nil {
		return p, fmt.Errorf("program %s: %w", name, err)
	}
	if p.info, err = buildinfo.ReadFile(path); err != nil {
		return p, fmt.Errorf("%s: what it was built from cannot be read, so there is no SBOM: %w; build it with `make images`", path, err)
	}
	return p, checkELF(path, arch)
}

func checkELF(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no program for Linux: %w", path, err)
	}
	defer f.Close()
	if f.Machine != machines[arch] {
		return fmt.Errorf("%s is a program for %v and not for %s; build it with GOARCH=%s", path, f.Machine, arch, arch)
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static, and an image from scratch has no libraries; build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}

// sbom lists what is in the binary.
func (p program) sbom(o Options) ([]byte, error) {
	sum := sha256.Sum256(p.content)
	return sbom.Document{Name: p.name + "-" + linux + "-" + p.arch, Version: o.Version, Created: o.Created,
		Programs: []sbom.Program{{Name: p.name, Platform: linux + "/" + p.arch, Digest: hex.EncodeToString(sum[:]), Info: p.info}}}.JSON()
}
