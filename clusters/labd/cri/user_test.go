package cri

import (
	"os"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// startAs starts a container as a user, with a volume at /data.
func (l *lab) startAs(sandbox string, uid, gid int64, args ...string) string {
	l.t.Helper()
	security := &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{Value: uid}, RunAsGroup: &runtimeapi.Int64Value{Value: gid}}
	id, err := l.CreateContainer(l.t.Context(), sandbox, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
		Image: &runtimeapi.ImageSpec{Image: "x.dev/probe"}, Args: args, LogPath: "c.log",
		Linux:  &runtimeapi.LinuxContainerConfig{SecurityContext: security},
		Mounts: []*runtimeapi.Mount{{HostPath: l.t.TempDir(), ContainerPath: "/data"}}}, l.pod)
	if err == nil {
		err = l.StartContainer(l.t.Context(), id)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

func TestAContainerIsTheUserThatWasAskedFor(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	for _, tt := range []struct {
		uid, gid   int64
		ids        string
		privileges string // of /proc/self/status
	}{
		{999, 50, "uid 999 gid 50", `CapEff:\t0000000000000000`},
		{1000, 0, "uid 1000 gid 0", `CapEff:\t0000000000000000`},
		{ownUser, 0, "uid 0 gid 0", `CapEff:\t00000000a80425fb`},
	} {
		id := l.startAs(pod, tt.uid, tt.gid, "look", "/proc/self/status", "/etc/passwd")
		if st := l.ended(id); st.ExitCode != 0 {
			t.Fatal(st)
		}
		l.says(tt.ids)
		l.says(tt.privileges)
		id = l.startAs(pod, tt.uid, tt.gid, "deaf")
		out, errOut, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/proc/self/status", "/proc/1/comm"}, 0)
		if err != nil || !strings.Contains(string(out), tt.ids+"\n") || !strings.Contains(string(out), tt.privileges) ||
			!strings.Contains(string(out), `/proc/1/comm = "probe\n"`) {
			t.Errorf("exec as %d: %v, %s\n%s", tt.uid, err, errOut, out)
		}
		for _, path := range []string{"/data/f", "/root/f", "/tmp/f", "/dev/shm/f"} {
			out, _, err := l.ExecSync(t.Context(), id, []string{"probe", "write", path, "x"}, 0)
			if err != nil || string(out) != "written: <nil>\n" {
				t.Errorf("%d: write %s: %v, %s", tt.uid, path, err, out)
			}
		}
		if err := l.StopContainer(t.Context(), id, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestContainersOfAPodShareTheirMemory(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	a, b, other := l.start(pod, "deaf"), l.startAs(pod, 999, 0, "deaf"), l.start(l.runPod(), "deaf")
	if out, _, err := l.ExecSync(t.Context(), a, []string{"probe", "write", "/dev/shm/f", "from a"}, 0); err != nil {
		t.Fatal(err, out)
	}
	look := func(id string) string {
		t.Helper()
		out, _, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/dev/shm/f", "/proc/self/ns/ipc", "/proc/self/ns/net"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), "gid 0\n")
		return rest
	}
	inA, inB, elsewhere := look(a), look(b), look(other)
	if !strings.Contains(inA, `"from a"`) || inA != inB {
		t.Errorf("one container of the pod sees\n%sthe other\n%s", inA, inB)
	}
	if strings.Contains(elsewhere, "from a") || strings.Contains(inA, elsewhere[strings.Index(elsewhere, "/proc"):]) {
		t.Errorf("another pod sees\n%s", elsewhere)
	}
}

func TestFilesAreCopiedByATarOfTheLab(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	for _, id := range []string{l.start(pod, "deaf"), l.startAs(pod, 999, 0, "deaf")} {
		if _, _, err := l.ExecSync(t.Context(), id, []string{"probe", "write", "/tmp/f", "copied"}, 0); err != nil {
			t.Fatal(err)
		}
		packed, errOut, err := l.ExecSync(t.Context(), id, []string{"tar", "cf", "-", "/tmp/f"}, 0)
		if err != nil {
			t.Fatalf("%v, %s", err, errOut)
		}
		err = l.exec(t.Context(), id, command{argv: []string{"tar", "-xmf", "-", "-C", "/root"}, stdin: strings.NewReader(string(packed))})
		if err != nil {
			t.Fatal(err)
		}
		if out, _, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/root/tmp/f"}, 0); err != nil || !strings.Contains(string(out), `"copied"`) {
			t.Errorf("%v, %s", err, out)
		}
		if _, _, err := l.ExecSync(t.Context(), id, []string{"test", "-d", "/root/tmp"}, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestAPodOnTheNodesNetwork(t *testing.T) {
	l := newLab(t)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	l.pod.Linux = &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_CONTAINER}}}
	l.pod.PortMappings = []*runtimeapi.PortMapping{{HostPort: 80, ContainerPort: 80}}
	pod := l.runPod()
	id := l.start(pod, "deaf")
	out, _, err := l.ExecSync(t.Context(), id, []string{"probe", "look", "/proc/self/ns/net"}, 0)
	if err != nil || !strings.Contains(string(out), own) {
		t.Errorf("%v: the node is %s, the pod\n%s", err, own, out)
	}
	if len(l.net.added) != 0 {
		t.Errorf("the data plane was told of %v", l.net.added)
	}
	st, err := l.PodSandboxStatus(t.Context(), pod, false)
	if err != nil || st.Status.Network.GetIp() != "" {
		t.Errorf("%v, %v", st, err)
	}
}
