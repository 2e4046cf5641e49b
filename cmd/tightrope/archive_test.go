package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/deploy/release"
)

// unpacked is a folder with what an archive of a release for this machine holds, made of
// the programs of make build.
func unpacked(t *testing.T, withLab bool) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the programs of make build are for Linux")
	}
	const version = "v1.2.3"
	platform := runtime.GOOS + "/" + runtime.GOARCH
	o := release.Options{Binaries: t.TempDir(), Documents: []string{"../../LICENSE", "../../README.md"}, Platforms: []string{platform},
		Version: version, Created: time.Unix(1_700_000_000, 0), Modules: goEnv(t, "GOMODCACHE"), GoLicence: filepath.Join(goEnv(t, "GOROOT"), "LICENSE")}
	programs, name := []string{"tightrope"}, "tightrope-cli"
	if withLab {
		programs, name = append(programs, "labd", "hyperkube", "agent", "controller", "standin", "twin"), "tightrope"
		o.Lab = []string{runtime.GOARCH}
	}
	beside := filepath.Join(o.Binaries, strings.ReplaceAll(platform, "/", "_"))
	err := os.Mkdir(beside, 0o755)
	for _, program := range programs {
		err = errors.Join(err, os.Symlink(binary(t, program), filepath.Join(beside, program)))
	}
	if err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(t.TempDir(), "dist")
	if _, err := release.Make(dist, o); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	extract(t, filepath.Join(dist, name+"_"+version+"_"+strings.ReplaceAll(platform, "/", "_")+".tar.gz"), to)
	return to
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// extract unpacks an archive's files as tar does.
func extract(t *testing.T, archive, to string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(filepath.Join(to, filepath.Base(h.Name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, h.FileInfo().Mode())
		if err == nil {
			_, err = io.Copy(out, r)
			err = errors.Join(err, out.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// there runs the unpacked program, which finds nothing but what is beside it.
func there(t *testing.T, code int, folder string, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, filepath.Join(folder, "tightrope"), args...)
	home := t.TempDir()
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "TMPDIR=" + os.Getenv("TMPDIR")}
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%q: %v: exit code %d, want %d:\n%s", args, err, got, code, out)
	}
	return string(out)
}

// The command line of an archive needs nothing else, and says where the lab is.
func TestTheCommandLineOfAnArchiveRunsAlone(t *testing.T) {
	inTestAll(t, "a release is built for it, and deploy/release has its tests")
	folder := unpacked(t, false)
	contains(t, there(t, exitOK, folder, "version"), "Client Version: ", "Platform: linux/"+runtime.GOARCH, "Kubernetes Libraries: v0.")
	contains(t, there(t, exitCut, folder, "plan", "gw-forgot-dns"), "llm-gateway")
	contains(t, there(t, exitUsage, folder, "lab", "up"), "labd", "archive of a release")
}

// An archive with the lab brings one up, and a rollout goes through it.
func TestTheLabOfAnArchiveComesUp(t *testing.T) {
	needLab(t)
	inTestAll(t, "packing all of Kubernetes takes half a minute")
	folder := unpacked(t, true)
	contains(t, there(t, exitOK, folder, "run", "gw-forgot-dns"), "RolledBack")
	for _, name := range []string{"LICENSE", "README.md", "THIRD_PARTY_LICENSES"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}
