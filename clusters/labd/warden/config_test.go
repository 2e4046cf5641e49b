package warden

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// program is a static one: this test.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !static(self) {
		t.Skip("this test was built with cgo, so it is not static")
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProgramThatIsNotStaticIsFoundOnTheMachine(t *testing.T) {
	script, link := filepath.Join(t.TempDir(), "script"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", link); err != nil {
		t.Fatal(err)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("no /bin/sh here")
	}
	c, err := parseConfig([]string{"--dir", "/d", "--image", "static=" + program(t), "--image", "a=/bin/sh -c true", "--image", "b=/bin/sh",
		"--image", "script=" + script, "--image", "link=" + link + " -x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"static": "/images/4", "a": "/host/bin/sh -c true", "b": "/host/bin/sh",
		"script": "/host" + script, "link": "/host" + sh + " -x"} {
		if got := c.ImagesInside()[name]; got != want {
			t.Errorf("image %s is %q inside, want %q", name, got, want)
		}
	}
	if len(c.Host) != 3 || len(c.binaries()) != 2 {
		t.Errorf("of the machine %q, bound one by one %v", c.Host, c.binaries())
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"a relative directory", "--dir", []string{"--dir", "here"}},
		{"a directory too deep for a socket", "too long", []string{"--dir", "/" + strings.Repeat("x", 110)}},
		{"a name that is no label", "lab name", []string{"--dir", "/d", "--name", "../x"}},
		{"a negative number of nodes", "--nodes", []string{"--dir", "/d", "--nodes", "-1"}},
		{"more nodes than addresses", "--nodes", []string{"--dir", "/d", "--nodes", "201"}},
		{"a family nobody knows", "--ip-families", []string{"--dir", "/d", "--ip-families", "IPv5"}},
		{"an unknown data plane", "--dataplane", []string{"--dir", "/d", "--dataplane", "maybe"}},
		{"an image without a path", "NAME=", []string{"--dir", "/d", "--image", "x"}},
		{"a folder without a program", "is a folder", []string{"--dir", "/d", "--image", "x=/"}},
		{"a relative image layout", "--image-layout", []string{"--dir", "/d", "--image-layout", "here"}},
		{"an image layout that is none", "index.json", []string{"--dir", "/d", "--image-layout", t.TempDir()}},
		{"an image that is not there", "/no/such/file", []string{"--dir", "/d", "--image", "x=/no/such/file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseConfig(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestImagesOfOneProgramShareItsBinary(t *testing.T) {
	path := program(t)
	c, err := parseConfig([]string{"--dir", "/d", "--image", "a=" + path, "--image", "b=" + path + " serve --fast"})
	if err != nil {
		t.Fatal(err)
	}
	c.Hyperkube = "/somewhere/hyperkube"
	got := c.ImagesInside()
	if got["a"] != "/images/0" || got["b"] != "/images/0 serve --fast" {
		t.Errorf("images inside the lab: %v", got)
	}
	if got[layout.DNSImage] != "/bin/hyperkube coredns" {
		t.Errorf("CoreDNS's image: %q", got[layout.DNSImage])
	}
	bound := c.binaries()
	if bound[path] != "/images/0" || bound[c.Labd] != "/bin/labd" || bound[c.Hyperkube] != "/bin/hyperkube" || len(bound) != 3 {
		t.Errorf("binaries: %v", bound)
	}
}

func TestADirectoryHasOneWarden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labs", "one")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.writeStatus(status{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(path); !errors.Is(err, errLive) {
		t.Errorf("a second claim: %v, want errLive", err)
	}
	d.lock.Close() // as the kernel does when a warden is killed
	again, err := claim(path)
	if err != nil {
		t.Fatalf("claim what a killed warden left: %v", err)
	}
	if _, err := os.Stat(again.file(statusFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead warden's status is still there: %v", err)
	}
	again.remove()
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the labs is still there: %v", err)
	}
}

func TestALabWithoutKubernetesSaysWhatToBuild(t *testing.T) {
	folder := t.TempDir()
	c := Config{Labd: filepath.Join(folder, "labd")}
	if err := c.findHyperkube(); err == nil || !strings.Contains(err.Error(), "make labd") || !strings.Contains(err.Error(), folder) {
		t.Errorf("error %v, want what is missing, where, and what to do", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hyperkube"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.findHyperkube(); err != nil || c.Hyperkube != filepath.Join(folder, "hyperkube") {
		t.Errorf("found %q: %v", c.Hyperkube, err)
	}
}
