package main

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy/images"
)

// onLab are the documents that are run on a lab of their own, and the folder that
// their reader is in.
var onLab = map[string]string{"docs/production.md": "docs/example/shop", "docs/quickstart.md": "docs/example/shop"}

// theirRegistry is what documents call the reader's registry.
const theirRegistry = "registry.example.com"

// reader is somebody who does what a document says, in a shell.
type reader struct {
	folder   string
	env      []string
	registry string // address of the real one
	code     int    // of the last command
}

func newReader(t *testing.T, folder string) *reader {
	t.Helper()
	needLab(t)
	bin := t.TempDir()
	for _, name := range []string{"labd", "hyperkube"} {
		if err := os.Symlink(binary(t, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	copied(t, binary(t, "tightrope"), filepath.Join(bin, "tightrope")) // it looks for images beside itself
	layout := filepath.Join(bin, "images")
	realImages(t, layout)
	kubectl := "#!/bin/sh\nexec " + filepath.Join(bin, "labd") + " kubectl \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(kubectl), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Up(t.Context(), lab.Options{Nodes: 2, Labd: binary(t, "labd"), ImageLayout: layout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(t.Context()); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	r := &reader{folder: t.TempDir(), registry: strings.TrimPrefix(server.URL, "http://")}
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+l.Kubeconfig(), "HOME="+t.TempDir())
	if err := os.CopyFS(r.folder, os.DirFS(filepath.Join("../..", folder))); err != nil {
		t.Fatal(err)
	}
	r.rename(t)
	return r
}

// realImages builds a layout of the programs that make build made. For the other
// architecture, of which nothing runs here, it has a small program in their place.
func realImages(t *testing.T, layout string) {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range images.Architectures {
		if err := os.Mkdir(filepath.Join(folder, "linux_"+arch), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range images.Programs {
			to := filepath.Join(folder, "linux_"+arch, name)
			if arch == runtime.GOARCH {
				copied(t, binary(t, name), to)
				continue
			}
			cmd := exec.Command("go", "build", "-trimpath", "-o", to, "../../deploy/images/testdata/program")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	stamp, err := exec.Command(binary(t, "labd"), "stamp").Output() // the program takes none of another version
	if err != nil {
		t.Fatal(err)
	}
	if _, err := images.Build(layout, images.Options{Binaries: folder, Version: strings.TrimSpace(string(stamp))}); err != nil {
		t.Fatal(err)
	}
}

func copied(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rename puts the real registry into the reader's files.
func (r *reader) rename(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files for the reader: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, []byte(strings.ReplaceAll(string(raw), theirRegistry, r.registry)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var exported = regexp.MustCompile(`^export (\w+)=\$\((.+)\)$`)

// does runs a line in a shell and returns what a terminal would show.
func (r *reader) does(t *testing.T, line string) string {
	t.Helper()
	t.Logf("$ %s", line)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(line, theirRegistry, r.registry))
	cmd.Dir, cmd.Env = r.folder, r.env
	if line == "echo $?" {
		cmd = exec.Command("echo", strconv.Itoa(r.code))
	}
	if said := exported.FindStringSubmatch(line); said != nil { // each line has a shell of its own
		cmd.Args[2] = said[2]
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		r.env = append(r.env, said[1]+"="+strings.TrimSpace(string(out)))
		return ""
	}
	out, err := cmd.CombinedOutput()
	r.code = 0
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = ended.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), r.registry, theirRegistry)
	t.Log(strings.TrimSpace(text))
	return text
}

// matching replaces lines that a document's line stands for by that line: within one,
// … stands for any text.
func matching(got, want []string) []string {
	var out []string
	for _, line := range got {
		out = append(out, strings.TrimRight(line, "\n"))
	}
	for _, w := range want {
		if w == anything || !strings.Contains(w, anything) {
			continue
		}
		var parts []string
		for _, part := range strings.Split(w, anything) {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		like := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		for i, line := range out {
			if like.MatchString(line) {
				out[i] = w
			}
		}
	}
	return out
}

// The documents for a cluster of one's own are done line by line, with a real
// registry, and nothing is left in the end.
func TestAReaderDoesWhatTheDocumentsSay(t *testing.T) {
	for name, folder := range onLab {
		t.Run(name, func(t *testing.T) {
			if name == "docs/quickstart.md" {
				inTestAll(t, "it is a part of docs/production.md, which is done")
			}
			raw, err := os.ReadFile(filepath.Join("../..", name))
			if err != nil {
				t.Fatal(err)
			}
			r := newReader(t, folder)
			for _, b := range consoles(string(raw)) {
				for i := 0; i < len(b.text); {
					words, isCommand := strings.CutPrefix(b.text[i], "$ ")
					at := b.line + i
					if !isCommand {
						t.Fatalf("%s:%d: %q is the output of no command", name, at, b.text[i])
					}
					var want []string
					for i++; i < len(b.text) && !strings.HasPrefix(b.text[i], "$ "); i++ {
						want = append(want, b.text[i])
					}
					out := r.does(t, words)
					got := matching(slices.Collect(strings.Lines(strings.TrimRight(out, "\n"))), want)
					if missing := unlike(got, want); missing != "" {
						t.Fatalf("%s:%d: $ %s\nprints, with exit code %d, no line %q where it should:\n%s", name, at, words, r.code, missing, out)
					}
				}
			}
		})
	}
}

// consoles are the blocks of a document that a reader types.
func consoles(text string) []block {
	var all []block
	for _, b := range fencedBlocks(text) {
		if b.info == "console" && b.notIn == "" {
			all = append(all, b)
		}
	}
	return all
}

// A pipe has the exit code of its last program: tee would hide what failed before it.
func TestNoPipeOfTheDocumentsHidesAnExitCode(t *testing.T) {
	hides := regexp.MustCompile(`tightrope [^|]*\|`)
	for name := range onLab {
		raw, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range consoles(string(raw)) {
			for i, line := range b.text {
				words, isCommand := strings.CutPrefix(line, "$ ")
				if isCommand && hides.MatchString(words) && !strings.HasPrefix(words, "set -o pipefail; ") {
					t.Errorf("%s:%d: without set -o pipefail, nobody sees that it failed: %s", name, b.line+i, words)
				}
			}
		}
	}
}

// What install prints for GitOps is of the images that were pushed, and for the same
// kind of cluster as the installation on the page.
func TestTheDocumentsPrintTheObjectsThatTheyInstall(t *testing.T) {
	raw, err := os.ReadFile("../../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	const install = "tightrope install --single-tenant --registry registry.example.com/tightrope"
	if !strings.Contains(string(raw), "\n$ "+install+"\n") || !strings.Contains(string(raw), "`"+install+" --dry-run -o yaml`") {
		t.Errorf("docs/production.md does not have both %s, and the same with --dry-run -o yaml", install)
	}
}
