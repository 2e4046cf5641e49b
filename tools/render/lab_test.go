package render

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// patience bounds a lab's start and end.
const patience = 3 * time.Minute

// What the chart renders is not only equal to what install applies: an API server
// takes it, and the controller becomes available.
func TestARenderedChartRunsOnALab(t *testing.T) {
	if os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		t.Skip("TIGHTROPE_SKIP_LAB is set, so no lab is brought up")
	}
	bin := os.Getenv("TIGHTROPE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	dir, err := os.MkdirTemp("", "labtest-") // short: a Unix socket's path must fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	t.Setenv("XDG_RUNTIME_DIR", "")
	objects, err := Release{Chart: chart, Namespace: "default"}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	l, err := lab.Up(ctx, lab.Options{Name: "chart", Nodes: 1, Labd: filepath.Join(bin, "labd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	var all strings.Builder
	for _, o := range objects {
		b, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(string(b) + "\n---\n")
	}
	kubectl := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "labd"), append([]string{"kubectl", "--kubeconfig", l.Kubeconfig()}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	kubectl(all.String(), "apply", "--server-side", "--validate=strict", "-f", "-")
	kubectl("", "-n", "tightrope-system", "rollout", "status", "deployment/tightrope-controller", "--timeout=90s")
	kubectl("", "wait", "crd", "-l", "app.kubernetes.io/part-of=tightrope", "--for=condition=Established", "--timeout=30s")
}
