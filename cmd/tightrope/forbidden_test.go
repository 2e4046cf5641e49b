package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A machine that forbids user namespaces is told which setting does, and what
// else can be done. The limit is set in a user namespace of the test's own, so
// the machine's stays as it is.
func TestAMachineWithoutUserNamespacesIsToldWhy(t *testing.T) {
	needLab(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("unshare (util-linux) is not installed, so no limit can be set for the test alone")
	}
	for _, args := range []string{"lab up --name forbidden", "demo", "run gw-forgot-dns"} {
		t.Run(args, func(t *testing.T) {
			script := `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" ` + args
			cmd := exec.Command(unshare, "-Ur", "sh", "-c", script, binary(t, "tightrope"))
			var stderr strings.Builder
			cmd.Dir, cmd.Stderr = t.TempDir(), &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			said := stderr.String()
			for _, want := range []string{"user.max_user_namespaces is 0", "sudo sysctl -w user.max_user_namespaces=", "--cluster current"} {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
			if strings.Count(said, "\n") != 1 {
				t.Errorf("not one line: %q", said)
			}
			wantNoLab(t)
		})
	}
}
