package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Stamp names the build of this program. The linker sets it.
var Stamp = "dev"

// Protocol is the version of what this package and labd say to each other: labd's
// arguments, its events, and the files of a lab. It is raised here and in labd with
// each change that the other side would not understand.
const Protocol = "2"

// BinEnv names the folder with labd and hyperkube, for programs that import this
// package and are built elsewhere.
const BinEnv = "TIGHTROPE_BIN"

// ErrNoLabd is returned where labd cannot be found, or speaks another protocol.
var ErrNoLabd = errors.New("the lab's server, labd, is not usable")

// answerWithin is ample: labd answers in a tenth of a second.
const answerWithin = 20 * time.Second

// FindLabd returns the absolute path of labd: the path that it is given, or the
// first found next to this program, in the folder that BinEnv names, on PATH and in
// the user's cache. It refuses one that speaks another protocol, and on another system
// than Linux everything.
func FindLabd(flag string) (string, error) {
	if err := possibleOn(runtime.GOOS); err != nil {
		return "", err
	}
	path, err := locate(flag)
	if err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(context.Background(), answerWithin)
	defer stop()
	out, err := exec.CommandContext(ctx, path, "protocol").Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s does not run: %w; build it with `make build`", ErrNoLabd, path, err)
	}
	if got := strings.TrimSpace(string(out)); got != Protocol {
		return "", fmt.Errorf("%w: %s speaks protocol %.40q and this program %q; build both with `make build`, or name another with --labd",
			ErrNoLabd, path, got, Protocol)
	}
	return path, nil
}

func locate(flag string) (string, error) {
	if flag != "" {
		if !executable(flag) {
			return "", fmt.Errorf("%w: %s is not an executable file; build it with `make labd`", ErrNoLabd, flag)
		}
		return filepath.Abs(flag)
	}
	var tried []string
	if self, err := os.Executable(); err == nil {
		tried = append(tried, filepath.Join(filepath.Dir(self), "labd"))
	}
	if bin := os.Getenv(BinEnv); bin != "" {
		tried = append(tried, filepath.Join(bin, "labd"))
	}
	if path, err := exec.LookPath("labd"); err == nil {
		tried = append(tried, path)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		tried = append(tried, filepath.Join(cache, "tightrope", Stamp, "labd"))
	}
	for _, path := range tried {
		if executable(path) {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("%w: no file labd in any of %s, nor on PATH; it is in the archive of a release for Linux; build it with `make labd`, or name it with --labd",
		ErrNoLabd, strings.Join(tried, ", "))
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// ParseImages reads NAME=PATH pairs for Options: an image name, and the path of a
// program of this machine with arguments after spaces. A static program runs with
// no file but itself; another one is shown the machine's /usr, read-only. The path
// of a folder, an unpacked image, is followed by that of a program in it. Arguments
// after a word -- are for pods that give none.
func ParseImages(pairs []string) (map[string]string, error) {
	images := map[string]string{}
	for _, pair := range pairs {
		name, path, ok := strings.Cut(pair, "=")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("%w: image %q: want NAME=PATH", ErrRefused, pair)
		}
		images[name] = path
	}
	return images, nil
}

// imagesFor is what the lab can run: our own programs from labd's folder, as far
// as they are there, and what the caller added. Relative paths become absolute.
func imagesFor(labd string, added map[string]string) (map[string]string, error) {
	images := map[string]string{"tightrope.dev/lab/tools": labd}
	for _, name := range []string{"agent", "controller", "guardian", "twin", "standin"} {
		if path := filepath.Join(filepath.Dir(labd), name); executable(path) {
			images["tightrope.dev/"+name] = path
		}
	}
	for name, command := range added {
		path, args, more := strings.Cut(command, " ")
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		if more {
			path += " " + args
		}
		images[untagged(name)] = path
	}
	return images, nil
}

// untagged is an image's name without its tag: the lab has one of each. A digest
// stays, since it says which one is meant.
func untagged(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}
