package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// startWith starts a container with a securityContext, and a folder of this machine
// at /data, read-only.
func (l *lab) startWith(sandbox string, security *runtimeapi.LinuxContainerSecurityContext, folder string, args ...string) string {
	l.t.Helper()
	id, err := l.CreateContainer(l.t.Context(), sandbox, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
		Image: &runtimeapi.ImageSpec{Image: "x.dev/probe"}, Args: args, LogPath: "c.log",
		Linux:  &runtimeapi.LinuxContainerConfig{SecurityContext: security},
		Mounts: []*runtimeapi.Mount{{HostPath: folder, ContainerPath: "/data", Readonly: true}}}, l.pod)
	if err == nil {
		err = l.StartContainer(l.t.Context(), id)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

// Neither a container's program nor a command of kubectl exec has a way to the
// files of the machine, whoever it is and whoever the lab belongs to.
func TestNoProgramOfAPodChangesTheMachine(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	folder := t.TempDir()
	ours := filepath.Join(folder, "file")
	if err := os.WriteFile(ours, []byte("ours"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []int64{0, 999, ownUser} {
		id := l.startWith(pod, &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{Value: uid}}, folder, "deaf")
		out, errOut, err := l.ExecSync(t.Context(), id, []string{"probe", "escape", "/data/file"}, 0)
		if err != nil {
			t.Fatalf("%v, %s", err, errOut)
		}
		allRefused(t, fmt.Sprintf("a command as %d", uid), string(out))
		l.ended(l.startWith(pod, &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{Value: uid}}, folder, "escape", "/data/file"))
	}
	log, err := os.ReadFile(filepath.Join(l.dir, "logs", "c.log"))
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for line := range strings.Lines(string(log)) {
		if _, text, ok := strings.Cut(line, " stdout F "); ok && text != "not listening\n" {
			said.WriteString(text)
		}
	}
	for i, out := range strings.SplitAfter(said.String(), "inside: done\n") {
		if out != "" {
			allRefused(t, fmt.Sprintf("program %d", i+1), out)
		}
	}
	if now, err := os.ReadFile(ours); err != nil || string(now) != "ours" {
		t.Errorf("the machine's file is %q: %v", now, err)
	}
}

// allRefused fails the test unless everything that the probe tried was.
func allRefused(t *testing.T, who, out string) {
	t.Helper()
	tries := strings.Count(out, ": ") // at least one of each line
	for line := range strings.Lines(out) {
		switch {
		case strings.HasSuffix(line, ": operation not permitted\n"), strings.HasSuffix(line, ": read-only file system\n"),
			strings.HasSuffix(line, ": permission denied\n"), strings.HasPrefix(line, "in a user namespace (<nil>)"), line == "inside: done\n":
		default:
			t.Errorf("%s: not refused: %s", who, line)
		}
	}
	if tries < 12 || !strings.Contains(out, "in a user namespace (<nil>)") {
		t.Errorf("%s did not try everything:\n%s", who, out)
	}
}

// A command has what its container has: no more, and no less.
func TestACommandHasItsContainersPrivileges(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	security := &runtimeapi.LinuxContainerSecurityContext{NoNewPrivs: true,
		Capabilities: &runtimeapi.Capability{AddCapabilities: []string{"NET_BIND_SERVICE"}, DropCapabilities: []string{"ALL"}}}
	id := l.startWith(pod, security, t.TempDir(), "deaf")
	out, errOut, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/proc/self/status"}, 0)
	for _, want := range []string{`CapBnd:\t0000000000000400`, `CapEff:\t0000000000000400`, `NoNewPrivs:\t1`} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, %s: no %s in\n%s", err, errOut, want, out)
		}
	}
	security.RunAsUser = &runtimeapi.Int64Value{Value: 999}
	id = l.startWith(pod, security, t.TempDir(), "deaf")
	out, errOut, err = l.ExecSync(t.Context(), id, []string{"probe", "look", "/proc/self/status"}, 0)
	for _, want := range []string{`CapEff:\t0000000000000000`, `NoNewPrivs:\t1`} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("as a user: %v, %s: no %s in\n%s", err, errOut, want, out)
		}
	}
	l.says("not listening")
}

// Everybody may listen on any port of the pod, also without a capability.
func TestEveryUserMayListenOnPort80(t *testing.T) {
	l := newLab(t)
	l.startWith(l.runPod(), &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{Value: 999}}, t.TempDir(), "serve", ":80")
	l.says("serving")
}
