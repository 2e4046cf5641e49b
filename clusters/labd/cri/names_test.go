package cri

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
)

func images(t *testing.T, names ...string) *Images {
	t.Helper()
	program := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	for _, n := range names {
		commands[n] = program + " arg"
	}
	im, err := NewImages(commands, nil)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestImagesAreFoundByName(t *testing.T) {
	im := images(t, "tightrope.dev/agent", "registry.example/e2e/agnhost:2.1", "one.example/twice", "two.example/twice", "plain")
	for name, want := range map[string]string{
		"tightrope.dev/agent":                "tightrope.dev/agent",
		"tightrope.dev/agent:dev":            "tightrope.dev/agent",
		"tightrope.dev/agent@sha256:00":      "", // nobody knows whether it has that digest
		"localhost:5000/agent:dev":           "tightrope.dev/agent",
		"agent":                              "tightrope.dev/agent",
		"registry.example/e2e/agnhost":       "registry.example/e2e/agnhost",
		"docker.io/library/plain:latest":     "plain",
		"one.example/twice:1":                "one.example/twice",
		"twice":                              "", // two answers are none
		"tightrope.dev/agent/other":          "",
		"":                                   "",
		"mirror.example/tightrope.dev/agent": "tightrope.dev/agent",
	} {
		got := ""
		if i := im.find(name); i != nil {
			got = i.name
		}
		if got != want {
			t.Errorf("%q found %q, want %q", name, got, want)
		}
	}
}

func TestArgumentsAfterTwoDashesGiveWayToThePods(t *testing.T) {
	i := &image{name: "e2e/tool", args: []string{"serve"}, rest: []string{"--fast"}}
	for _, tt := range []struct{ command, args, want []string }{
		{nil, nil, []string{"/tool", "serve", "--fast"}},
		{nil, []string{"--slow"}, []string{"/tool", "serve", "--slow"}},
		{[]string{"/other"}, nil, []string{"/other"}},
	} {
		if got := i.argv(tt.command, tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("command %q, args %q: %q, want %q", tt.command, tt.args, got, tt.want)
		}
	}
	path := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	im, err := NewImages(map[string]string{"tool": path + " serve -- --fast"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := im.find("tool").argv(nil, nil); !slices.Equal(got, []string{"/tool", "serve", "--fast"}) {
		t.Errorf("parsed: %q", got)
	}
}

func TestAFolderIsAnUnpackedImage(t *testing.T) {
	dir := t.TempDir()
	im, err := NewImages(map[string]string{"tool": dir + " /bin/tool serve -- --fast"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := im.find("tool")
	if got := i.argv(nil, nil); i.files != dir || !slices.Equal(got, []string{"/bin/tool", "serve", "--fast"}) {
		t.Errorf("files %q, arguments %q", i.files, got)
	}
	if _, err := NewImages(map[string]string{"tool": dir}, nil); err == nil {
		t.Error("a folder without a program was accepted")
	}
}

func TestAnUnknownImageIsNamedWithTheWayOn(t *testing.T) {
	_, err := images(t, "tightrope.dev/agent").PullImage(context.Background(), &runtimeapi.ImageSpec{Image: "nginx:1"}, nil, nil)
	for _, want := range []string{`"nginx:1"`, "tightrope.dev/agent", "--image nginx="} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %s in it", err, want)
		}
	}
}

func TestAMissingProgramIsRefused(t *testing.T) {
	for _, command := range []string{"", "/nowhere"} {
		if _, err := NewImages(map[string]string{"a": command}, nil); err == nil {
			t.Errorf("program %q was accepted", command)
		}
	}
}

func TestPodsThatNeedMoreAreRefusedByName(t *testing.T) {
	security := func(s *runtimeapi.LinuxSandboxSecurityContext) *runtimeapi.PodSandboxConfig {
		return &runtimeapi.PodSandboxConfig{Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: s}}
	}
	namespaces := func(o *runtimeapi.NamespaceOption) *runtimeapi.PodSandboxConfig {
		return security(&runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: o})
	}
	node := runtimeapi.NamespaceMode_NODE
	for want, pod := range map[string]*runtimeapi.PodSandboxConfig{
		"hostPID":               namespaces(&runtimeapi.NamespaceOption{Pid: node}),
		"hostIPC":               namespaces(&runtimeapi.NamespaceOption{Ipc: node}),
		"shareProcessNamespace": namespaces(&runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}),
		"hostUsers":             namespaces(&runtimeapi.NamespaceOption{UsernsOptions: &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD}}),
		"privileged":            security(&runtimeapi.LinuxSandboxSecurityContext{Privileged: true}),
		"hostPort 80":           {PortMappings: []*runtimeapi.PortMapping{{ContainerPort: 8080}, {HostPort: 80}}},
		"kernel.shmmax":         {Linux: &runtimeapi.LinuxPodSandboxConfig{Sysctls: map[string]string{"kernel.shmmax": "1"}}},
	} {
		if err := refusePod(pod, ""); !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := refusePod(&runtimeapi.PodSandboxConfig{}, "gvisor"); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("runtime class: %v", err)
	}
	accepted := namespaces(&runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER})
	accepted.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
	if err := refusePod(accepted, ""); err != nil {
		t.Errorf("an ordinary pod: %v", err)
	}
}

func TestContainersThatNeedMoreAreRefusedByName(t *testing.T) {
	for want, c := range map[string]*runtimeapi.ContainerConfig{
		"devices":          {Devices: []*runtimeapi.Device{{}}},
		"image volume":     {Mounts: []*runtimeapi.Mount{{Image: &runtimeapi.ImageSpec{Image: "a"}}}},
		"mountPropagation": {Mounts: []*runtimeapi.Mount{{Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL}}},
	} {
		if err := refuseContainer(c, container.Privileges{}); !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCapabilitiesThatWouldOpenTheMachineAreRefused(t *testing.T) {
	for want, asked := range map[string]*runtimeapi.Capability{
		"SYS_ADMIN": {AddCapabilities: []string{"SYS_ADMIN"}},
		"with SYS":  {AddCapabilities: []string{"ALL"}},
		"ambient":   {AddAmbientCapabilities: []string{"CHOWN"}},
		`"FLY"`:     {DropCapabilities: []string{"FLY"}},
		"":          {AddCapabilities: []string{"NET_ADMIN"}, DropCapabilities: []string{"ALL"}},
	} {
		c := &runtimeapi.ContainerConfig{Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{Capabilities: asked}}}
		p, err := privilegesOf(c)
		if err == nil {
			err = refuseContainer(c, p)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: got %v, want an error with %q", asked, err, want)
		}
	}
}

func TestLogLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60, time.FixedZone("x", 3600))
	const stamp = "2026-01-02T02:04:05.000000060Z "
	for in, want := range map[string]string{
		"hello\n": stamp + "stdout F hello\n",
		"\n":      stamp + "stdout F \n",
		"partial": stamp + "stdout P partial\n",
		"":        "",
	} {
		if got := string(appendLine(nil, at, "stdout", []byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestResolvConf(t *testing.T) {
	got := resolvConf(&runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5"}})
	if want := "search a b\nnameserver 10.96.0.10\noptions ndots:5\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := resolvConf(nil); got != "" {
		t.Errorf("no configuration gave %q", got)
	}
}
