package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// apart gives the test a folder of labs of its own.
func apart(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", t.TempDir())
}

// leave makes a lab's directory, locked as by a living warden or not.
func leave(t *testing.T, name string, living bool) string {
	t.Helper()
	dir, err := directory(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if living {
		if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
			t.Fatal(err)
		}
	}
	status := `{"name":"` + name + `","pid":1,"ready":true,"kubeconfig":"` + filepath.Join(dir, "kubeconfig") + `"}`
	if err := os.WriteFile(filepath.Join(dir, "status.json"), []byte(status), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSweepRemovesOnlyTheDead(t *testing.T) {
	apart(t)
	dead, living := leave(t, "dead", false), leave(t, "living", true)
	Sweep()
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead warden's directory is still there: %v", err)
	}
	if _, err := os.Stat(living); err != nil {
		t.Errorf("the living warden's directory: %v", err)
	}
}

func TestSweepTakesAnEmptyFolderAway(t *testing.T) {
	apart(t)
	leave(t, "dead", false)
	Sweep()
	if _, err := os.Stat(base()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the labs is still there: %v", err)
	}
}

func TestFindAndListKnowTheLivingOnly(t *testing.T) {
	apart(t)
	leave(t, "dead", false)
	leave(t, "living", true)
	if s, err := Find("living"); err != nil || s.Name != "living" || !s.Ready {
		t.Errorf("Find(living) = %+v, %v", s, err)
	}
	for _, name := range []string{"dead", "never", "../living", ""} {
		if _, err := Find(name); !errors.Is(err, ErrNotUp) {
			t.Errorf("Find(%q) = %v, want ErrNotUp", name, err)
		}
	}
	if all, err := List(); err != nil || len(all) != 1 || all[0].Name != "living" {
		t.Errorf("List() = %+v, %v", all, err)
	}
	if err := Down(context.Background(), "dead"); !errors.Is(err, ErrNotUp) {
		t.Errorf("Down(dead) = %v, want ErrNotUp", err)
	}
}

func TestAFolderThatOthersCanWriteIsRefused(t *testing.T) {
	apart(t)
	if err := os.Mkdir(base(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base(), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := directory("default"); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("directory in a folder that everyone can write: %v", err)
	}
	if err := os.Remove(base()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), base()); err != nil {
		t.Fatal(err)
	}
	if _, err := directory("default"); err == nil {
		t.Error("a symbolic link in place of the folder is accepted")
	}
}

func TestImagesLoseTheirTagsOnly(t *testing.T) {
	for image, want := range map[string]string{
		"tightrope.dev/agent:dev": "tightrope.dev/agent", "tightrope.dev/agent": "tightrope.dev/agent",
		"registry:5000/x": "registry:5000/x", "registry:5000/x:1": "registry:5000/x",
	} {
		if got := untagged(image); got != want {
			t.Errorf("untagged(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestALabdOfAnotherProtocolIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho other\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindLabd(path); !errors.Is(err, ErrNoLabd) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("FindLabd = %v, want a refusal that names the protocol", err)
	}
	t.Setenv(BinEnv, filepath.Dir(path))
	if _, err := FindLabd(""); !errors.Is(err, ErrNoLabd) || !strings.Contains(err.Error(), path) {
		t.Errorf("FindLabd = %v, want a refusal of the one in %s", err, BinEnv)
	}
	if _, err := FindLabd(path + "-absent"); !errors.Is(err, ErrNoLabd) {
		t.Errorf("FindLabd of a missing file = %v", err)
	}
}

// The two modules share no code, so each says its version of the protocol itself.
func TestLabdSpeaksThisProtocol(t *testing.T) {
	source, err := os.ReadFile("../labd/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nconst protocol = %q\n", Protocol); !strings.Contains(string(source), want) {
		t.Errorf("clusters/labd/main.go does not have %q", want)
	}
}
