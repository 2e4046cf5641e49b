package mounts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestOptionsBecomeFlags(t *testing.T) {
	for _, tt := range []struct {
		options []string
		bits    uintptr
		data    string
	}{
		{nil, 0, ""},
		{[]string{"size=1m", "mode=0777"}, 0, "size=1m,mode=0777"},
		{[]string{"bind", "ro", "noexec"}, unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOEXEC, ""},
		{[]string{"ro", "rw"}, 0, ""},
		{[]string{"remount", "size=2m", ""}, unix.MS_REMOUNT, "size=2m"},
		{[]string{"defaults", "rbind"}, unix.MS_BIND | unix.MS_REC, ""},
	} {
		if bits, data := parse(tt.options); bits != tt.bits || data != tt.data {
			t.Errorf("%q: flags %#x data %q, want %#x %q", tt.options, bits, data, tt.bits, tt.data)
		}
	}
}

func TestMountsAreReal(t *testing.T) {
	m, dir, copied := New(), t.TempDir(), t.TempDir()
	if err := m.Mount("tmpfs", dir, "tmpfs", []string{"size=1m"}); err != nil {
		t.Fatal(err)
	}
	if at, err := m.IsMountPoint(dir); err != nil || !at {
		t.Fatalf("mount point %v, %v", at, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 2<<20), 0o600); err == nil {
		t.Error("the size limit was lost")
	}
	if err := m.Mount(dir, copied, "", []string{"bind", "ro"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "g"), nil, 0o600); err == nil {
		t.Error("a read-only bind mount takes writes")
	}
	if err := os.WriteFile(filepath.Join(dir, "g"), nil, 0o600); err != nil {
		t.Errorf("the mount it came from became read-only: %v", err)
	}
	for _, d := range []string{copied, dir, dir} { // the last one is not a mount any more: fine
		if err := m.Unmount(d); err != nil {
			t.Error(err)
		}
	}
	if at, err := m.IsMountPoint(dir); err != nil || at {
		t.Errorf("after unmount: mount point %v, %v", at, err)
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	err := New().MountSensitive("tmpfs", "/nowhere", "tmpfs", []string{"size=1m"}, []string{"password=hidden"})
	if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("error %v", err)
	}
	err = New().MountSensitiveWithoutSystemdWithMountFlags("a", "b", "", nil, nil, []string{"--make-shared"})
	if err == nil || !strings.Contains(err.Error(), "--make-shared") {
		t.Errorf("error %v", err)
	}
}
