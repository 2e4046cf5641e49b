package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/kind"
	"github.com/tightrope-dev/tightrope/report"
)

// kindEnv names a node image that is there, for `make e2e-kind`; kindConfigEnv a
// configuration file, which may be empty.
const (
	kindEnv       = "TIGHTROPE_KIND_IMAGE"
	kindConfigEnv = "TIGHTROPE_KIND_CONFIG"
)

// kindArgs choose a kind cluster of the test's own.
func kindArgs(t *testing.T, args ...string) []string {
	t.Helper()
	image := os.Getenv(kindEnv)
	if image == "" {
		t.Skipf("%s names no node image: make e2e-kind needs Docker and one", kindEnv)
	}
	args = append(args, "--cluster", "kind", "--kind-image", image, "--image-layout", filepath.Join(filepath.Dir(binary(t, "tightrope")), "images"))
	if config := os.Getenv(kindConfigEnv); config != "" {
		args = append(args, "--kind-config", config)
	}
	return args
}

// kindClusters are the names of those that kind knows.
func kindClusters(t *testing.T) []string {
	t.Helper()
	names, err := kind.Names()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A cluster whose network plugin enforces nothing proves nothing, whatever packets do
// there; and nothing of the cluster is left.
func TestKindWithoutEnforcementIsInconclusive(t *testing.T) {
	reports := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(kindArgs(t, "run", "gw-forgot-dns", "--report", reports), &stdout, &stderr)
	if code != exitInconclusive {
		t.Errorf("exit code %d, want %d: %s%s", code, exitInconclusive, &stdout, &stderr)
	}
	rep := readReport(t, filepath.Join(reports, "gw-forgot-dns"))
	if rep.Result != "Inconclusive" || !strings.Contains(rep.Message, "this cluster does not enforce NetworkPolicy") {
		t.Errorf("result %s: %s", rep.Result, report.Headline(rep))
	}
	if left := kindClusters(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Whoever interrupts it leaves nothing.
func TestAnInterruptedKindRunLeavesNothing(t *testing.T) {
	p := exec.Command(binary(t, "tightrope"), kindArgs(t, "run", "gw-forgot-dns", "--report", t.TempDir())...)
	var out bytes.Buffer
	p.Stdout, p.Stderr = &out, &out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); len(kindClusters(t)) == 0; {
		if time.Now().After(end) {
			t.Fatal("no cluster is being made")
		}
		time.Sleep(200 * time.Millisecond) // kind tells nobody when a container is there
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	if code := p.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s", code, exitInterrupted, &out)
	}
	if left := kindClusters(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Without anything to run containers with, kind is refused in a sentence.
func TestKindWithoutDockerIsRefused(t *testing.T) {
	layout := smallImages(t)
	t.Setenv("PATH", t.TempDir())
	wantRefused(t, []string{"run", "gw-forgot-dns", "--cluster", "kind", "--image-layout", layout, "--report", t.TempDir()}, []string{"kind is not usable here", "Docker, Podman or nerdctl"})
}
