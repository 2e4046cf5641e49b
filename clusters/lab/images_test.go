package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy/images"
)

// imageLayout is a layout with a small program in the place of each of ours. It says
// its own path and ends.
func imageLayout(t *testing.T) *images.Layout {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range images.Architectures {
		for _, name := range images.Programs {
			cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(folder, "linux_"+arch, name), "../../deploy/images/testdata/program")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	l, err := images.Build(filepath.Join(t.TempDir(), "layout"), images.Options{Binaries: folder})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A lab runs the images that would be pushed, by the digests that an installation
// names, and nothing under a digest that it does not have.
func TestALabRunsTheImagesOfALayout(t *testing.T) {
	bin := binaries(t)
	place(t)
	layout := imageLayout(t)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	up, err := lab.Up(ctx, lab.Options{Name: "images", Nodes: 1, Labd: filepath.Join(bin, "labd"), ImageLayout: layout.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := up.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	l := (podLab{bin: bin, kubeconfig: up.Kubeconfig()}).in(t, "images")
	refs, err := layout.References("registry.example/team")
	if err != nil {
		t.Fatal(err)
	}
	agent, twin := layout.Images[1], layout.Images[2]
	platform := agent.Platforms[0].Digest
	if agent.Platforms[0].Platform != "linux/"+runtime.GOARCH {
		platform = agent.Platforms[1].Digest
	}
	other := "registry.example/team/agent@" + twin.Digest
	for name, image := range map[string]string{"index": refs["agent"], "manifest": "mirror.example/agent@" + platform, "tag": "tightrope.dev/agent:v1", "other": other} {
		l.kubectl(fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {restartPolicy: Never, containers: [{name: c, image: %q, securityContext: {runAsNonRoot: true}}]}", name, image),
			"apply", "-f", "-")
	}
	for name, id := range map[string]string{"index": refs["agent"], "manifest": "mirror.example/agent@" + agent.Digest, "tag": "tightrope.dev/agent@" + agent.Digest} {
		if said, code := l.try("wait", "pod/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"); code != 0 {
			t.Errorf("pod %s: %s\n%s", name, said, l.kubectl("", "describe", "pod", name))
			continue
		}
		if said := l.kubectl("", "logs", name); !strings.HasPrefix(said, "/agent ") {
			t.Errorf("pod %s ran another program: %s", name, said)
		}
		if got := l.kubectl("", "get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].imageID}"); got != id {
			t.Errorf("pod %s ran image %s, want %s", name, got, id)
		}
	}
	// The reason goes to and fro between ErrImagePull and this one.
	if said, code := l.try("wait", "pod/other", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff", "--timeout=60s"); code != 0 {
		t.Errorf("a digest that the lab has under another name only: %s", said)
	}
	if said := l.kubectl("", "events", "--for", "pod/other"); !strings.Contains(said, other) || !strings.Contains(said, "--image-layout") {
		t.Errorf("events do not name the image and the way on: %s", said)
	}
}

func TestALayoutThatCannotBeUsedIsRefused(t *testing.T) {
	bin := binaries(t)
	place(t)
	layout := imageLayout(t)
	blobs, err := filepath.Glob(filepath.Join(layout.Dir, "blobs", "sha256", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		if err := os.Truncate(blob, 1); err != nil {
			t.Fatal(err)
		}
	}
	for want, dir := range map[string]string{"damaged": layout.Dir, "no OCI layout": t.TempDir()} {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		l, err := lab.Up(ctx, lab.Options{Name: "images", Labd: filepath.Join(bin, "labd"), ImageLayout: dir})
		stop()
		if err == nil {
			_ = l.Down(context.Background())
		}
		if !errors.Is(err, lab.ErrRefused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v: want %q", dir, err, want)
		}
	}
}
