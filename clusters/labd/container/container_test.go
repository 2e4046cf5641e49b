package container

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet/nstest"
)

func TestMain(m *testing.M) { nstest.MainWith(m, "./testdata/probe") }

func TestCommandFollowsKubernetes(t *testing.T) {
	entry := []string{"/web", "serve"}
	for _, tt := range []struct {
		name                string
		command, args, want []string
	}{
		{"neither: the image's entry point", nil, nil, []string{"/web", "serve"}},
		{"args follow the entry point", nil, []string{"-v"}, []string{"/web", "serve", "-v"}},
		{"a command replaces it", []string{"x"}, nil, []string{"x"}},
		{"both", []string{"x"}, []string{"-v"}, []string{"x", "-v"}},
	} {
		if got := Command(entry, tt.command, tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// runInit starts a container as the runtime does, and returns its output and
// container-init's reason.
func runInit(t *testing.T, s Spec) (output, reason string) {
	t.Helper()
	s.Root = t.TempDir()
	dir := t.TempDir()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	specFile := filepath.Join(dir, "spec")
	if err := os.WriteFile(specFile, b, 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := os.Open(specFile)
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.Create(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", Argument)
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{spec, status}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	out, _ := cmd.CombinedOutput()
	why, _ := os.ReadFile(status.Name())
	return string(out), string(why)
}

func TestAContainerSeesItsOwnRootOnly(t *testing.T) {
	vol := t.TempDir()
	if err := os.WriteFile(filepath.Join(vol, "key"), []byte("value"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, why := runInit(t, Spec{Hostname: "pod-1", Binary: nstest.Program(t), Name: "web", Dir: "/work",
		Argv:       []string{"web", "look", "/", "/ro/key", "/rw/key", "/sub", "/etc/resolv.conf", "/etc/hostname", "/dev", "/proc/1/comm"},
		Env:        []string{"COLOR=red"},
		ResolvConf: "nameserver 10.96.0.10\n",
		Mounts: []Mount{{Source: vol, Target: "/ro", ReadOnly: true}, {Source: vol, Target: "/rw"},
			{Source: filepath.Join(vol, "key"), Target: "/sub"}}})
	if why != "" {
		t.Fatalf("container-init: %s", why)
	}
	for _, want := range []string{
		"pid 1 host pod-1 dir /work color red home /root",
		"/ : bin dev etc proc ro root run rw sub tmp usr var web work",
		`/ro/key = "value"`, "/ro/key written: open /ro/key: read-only file system", "/rw/key written: <nil>", `/sub = "value"`,
		`/etc/resolv.conf = "nameserver 10.96.0.10\n"`, `/etc/hostname = "pod-1\n"`,
		"/dev : fd full null random shm stderr stdin stdout tty urandom zero",
		`/proc/1/comm = "web\n"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
}

func TestAFolderIsShownAtTheRoot(t *testing.T) {
	image := t.TempDir()
	for _, dir := range []string{"bin", "etc/app", "proc", "tmp", "data"} {
		if err := os.MkdirAll(filepath.Join(image, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	probe, err := os.ReadFile(nstest.Program(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"bin/probe": probe, "etc/hosts": []byte("1.2.3.4 evil"), "etc/app/conf": []byte("x"), "data/file": []byte("y")} {
		if err := os.WriteFile(filepath.Join(image, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("probe", filepath.Join(image, "bin/again")); err != nil {
		t.Fatal(err)
	}
	out, why := runInit(t, Spec{Host: image, Argv: []string{"again", "look", "/data/file", "/etc/app/conf", "/etc/hosts", "/tmp/new", "/proc/1/comm"}})
	if why != "" {
		t.Fatalf("container-init: %s", why)
	}
	for _, want := range []string{"/data/file written: open /data/file: read-only file system", `/etc/app/conf = "x"`,
		`/etc/hosts = "127.0.0.1\tlocalhost\n"`, `/proc/1/comm = "again\n"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
}

func TestAReadOnlyRoot(t *testing.T) {
	out, why := runInit(t, Spec{Binary: nstest.Program(t), Name: "web", ReadOnlyRoot: true, Argv: []string{"/web", "look", "/etc/hosts"}})
	if why != "" || !strings.Contains(out, "/etc/hosts written: open /etc/hosts: read-only file system") {
		t.Errorf("reason %q, output\n%s", why, out)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	bin := nstest.Program(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	evil := t.TempDir()
	if err := os.Symlink("/", filepath.Join(evil, "out")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		spec       Spec
	}{
		{"no such command", "no shell; it has /web", Spec{Binary: bin, Name: "web", Argv: []string{"sh", "-c", "true"}}},
		{"not a program", "exec format error", Spec{Binary: text, Name: "web", Argv: []string{"/web"}}},
		{"no such volume", "volume at /v", Spec{Binary: bin, Name: "web", Argv: []string{"/web"}, Mounts: []Mount{{Source: "/nowhere", Target: "/v"}}}},
		{"a name that is a path", "is not a file name", Spec{Binary: bin, Name: "../web", Argv: []string{"/web"}}},
		{"a volume through a link out of the root", "is a symbolic link", Spec{Binary: bin, Name: "web", Argv: []string{"/web"},
			Mounts: []Mount{{Source: evil, Target: "/v"}, {Source: evil, Target: "/v/out/tmp"}}}},
		{"nothing to run", "empty command", Spec{Binary: bin, Name: "web"}},
	} {
		if _, why := runInit(t, tt.spec); !strings.Contains(why, tt.want) {
			t.Errorf("%s: reason %q, want %q in it", tt.name, why, tt.want)
		}
	}
}
