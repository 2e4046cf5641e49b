package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/capability"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet/nstest"
)

// granted fails the test where Grant does.
func granted(t *testing.T, add, drop []string) []capability.Cap {
	t.Helper()
	all, err := Grant(add, drop)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCapabilitiesAreContainerdsUnlessAsked(t *testing.T) {
	for _, tt := range []struct {
		name      string
		add, drop []string
		want      string // of CapBnd, as programs see it
	}{
		{"neither", nil, nil, "00000000a80425fb"},
		{"one more", []string{"NET_ADMIN"}, nil, "00000000a80435fb"},
		{"one that it has", []string{"CHOWN"}, nil, "00000000a80425fb"},
		{"one less, by its kernel's name", nil, []string{"CAP_NET_RAW"}, "00000000a80405fb"},
		{"none", nil, []string{"ALL"}, "0000000000000000"},
		{"one only", []string{"NET_BIND_SERVICE"}, []string{"ALL"}, "0000000000000400"},
		{"added and dropped", []string{"SYS_TIME"}, []string{"SYS_TIME"}, "00000000a80425fb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, why := runInit(t, Spec{Binary: nstest.Program(t), Name: "web", Argv: []string{"/web", "look", "/proc/self/status"},
				Privileges: Privileges{Capabilities: granted(t, tt.add, tt.drop)}})
			for _, set := range []string{"CapBnd", "CapEff", "CapPrm"} {
				if want := set + `:\t` + tt.want; why != "" || !strings.Contains(out, want) {
					t.Errorf("reason %q, no %q in\n%s", why, want, out)
				}
			}
			if !strings.Contains(out, `CapInh:\t0000000000000000`) || !strings.Contains(out, `NoNewPrivs:\t0`) {
				t.Errorf("more than was asked for:\n%s", out)
			}
		})
	}
	if all := granted(t, []string{"ALL"}, nil); !slices.Contains(all, capability.CAP_SYS_ADMIN) {
		t.Errorf("ALL is %v", all)
	}
	if _, err := Grant([]string{"FLY"}, nil); err == nil || !strings.Contains(err.Error(), `"FLY"`) {
		t.Errorf("a capability that does not exist: %v", err)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	out, why := runInit(t, Spec{Binary: nstest.Program(t), Name: "web", Argv: []string{"/web", "look", "/proc/self/status"}, Privileges: Privileges{NoNewPrivileges: true}})
	if why != "" || !strings.Contains(out, `NoNewPrivs:\t1`) {
		t.Errorf("reason %q, output\n%s", why, out)
	}
}

// A container has no way to the files of the machine that it is shown, whoever the
// lab belongs to.
func TestAContainerCannotChangeTheMachine(t *testing.T) {
	image := t.TempDir()
	probe, err := os.ReadFile(nstest.Program(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(image, "data"), 0o777); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(image, "data", "file")
	for name, content := range map[string][]byte{filepath.Join(image, "probe"): probe, ours: []byte("ours")} {
		if err := os.WriteFile(name, content, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, why := runInit(t, Spec{Host: image, Argv: []string{"/probe", "escape", "/data/file"}, Privileges: Privileges{Capabilities: granted(t, nil, nil)}})
	if why != "" {
		t.Fatalf("container-init: %s", why)
	}
	refusals := strings.Count(out, ": operation not permitted\n") + strings.Count(out, ": read-only file system\n") + strings.Count(out, ": permission denied\n")
	if refusals != strings.Count(out, "\n")-2 || refusals < 10 || !strings.Contains(out, "in a user namespace (<nil>)") {
		t.Errorf("not everything is refused:\n%s", out)
	}
	if now, err := os.ReadFile(ours); err != nil || string(now) != "ours" {
		t.Errorf("the machine's file is %q: %v", now, err)
	}
}
