package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/tightrope-dev/tightrope/deploy/images"
)

// smallImages is a layout of small programs, made by the command.
func smallImages(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range images.Architectures {
		for _, name := range images.Programs {
			to := filepath.Join(folder, "linux_"+arch, name)
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "../../deploy/images/testdata/program")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	layout := filepath.Join(t.TempDir(), "layout")
	says(t, exitOK, "images", "build", "--binaries", folder, "--image-layout", layout, "--version", "v1", "--created", "1700000000")
	return layout
}

// says runs one command line and returns what it printed.
func says(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if got := run(args, &out, &err); got != code {
		t.Fatalf("%q: exit code %d, want %d: %s", args, got, code, &err)
	}
	return out.String(), err.String()
}

func TestImagesGoFromTheLayoutToARegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	layout := smallImages(t)
	stdout, _ := says(t, exitOK, "images", "list", "--image-layout", layout, "-o", "json")
	var listed []images.Image
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || len(listed) != len(images.Programs) {
		t.Fatalf("list: %v: %s", err, stdout)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	prefix := strings.TrimPrefix(server.URL, "http://") + "/team"
	stdout, stderr := says(t, exitOK, "images", "push", "--image-layout", layout, "--to", prefix)
	for i, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		if want := prefix + "/" + listed[i].Name + "@" + listed[i].Digest; line != want {
			t.Errorf("line %d is %q, want %q", i, line, want)
		}
	}
	contains(t, stderr, "pushing controller, ")
	stdout, _ = says(t, exitOK, "images", "push", "--image-layout", layout, "--to", prefix, "-o", "json", "--tag", "latest")
	var pushed []images.Pushed
	if err := json.Unmarshal([]byte(stdout), &pushed); err != nil || len(pushed) != len(listed) || pushed[1].Tag != prefix+"/agent:latest" {
		t.Errorf("push: %v: %s", err, stdout)
	}
	file := filepath.Join(t.TempDir(), "images.tar")
	says(t, exitOK, "images", "save", file, "--image-layout", layout)
	copied := filepath.Join(t.TempDir(), "copy")
	stdout, _ = says(t, exitOK, "images", "load", file, "--image-layout", copied)
	contains(t, stdout, "loaded 4 images into "+copied)
	before, _ := says(t, exitOK, "images", "list", "--image-layout", layout)
	after, _ := says(t, exitOK, "images", "list", "--image-layout", copied)
	if before != after {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
	contains(t, after, "linux/arm64", listed[2].Digest)
	wrongRegistries(t, layout)
}

func wrongRegistries(t *testing.T, layout string) {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, stderr := says(t, exitInconclusive, "images", "push", "--image-layout", layout, "--to", closed.Addr().String()+"/team")
	contains(t, stderr, "does not answer", "connection refused")
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer guarded.Close()
	stdout, stderr := says(t, exitUsage, "images", "push", "--image-layout", layout, "--to", strings.TrimPrefix(guarded.URL, "http://")+"/team")
	contains(t, stderr, "docker login")
	if stdout != "" {
		t.Errorf("a push that failed printed %q", stdout)
	}
}

func TestImagesSayWhatIsMissing(t *testing.T) {
	empty := t.TempDir()
	for want, args := range map[string][]string{
		"it is no OCI layout":                   {"list", "--image-layout", empty},
		"make images":                           {"push", "--to", "registry.example/a"}, // beside this test there are none
		`required flag(s) "to" not set`:         {"push", "--image-layout", empty},
		"yaml":                                  {"list", "--image-layout", empty, "-o", "yaml"},
		"no such file":                          {"load", filepath.Join(empty, "nothing.tar"), "--image-layout", empty},
		"no program controller for linux/amd64": {"build", "--binaries", empty, "--image-layout", filepath.Join(empty, "new")},
		"seconds since 1970":                    {"build", "--binaries", empty, "--image-layout", filepath.Join(empty, "new"), "--created", "today"},
	} {
		stdout, stderr := says(t, exitUsage, append([]string{"images"}, args...)...)
		contains(t, stderr, want)
		if stdout != "" {
			t.Errorf("%q printed %q", args, stdout)
		}
	}
}
