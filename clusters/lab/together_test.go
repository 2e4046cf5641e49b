package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// Two labs of one user live side by side, and the name is what tells them apart.
func TestTwoLabsOfOneUser(t *testing.T) {
	bin := binaries(t)
	place(t)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	var labs []*lab.Lab
	for _, name := range []string{"left", "right"} {
		l, err := lab.Up(ctx, lab.Options{Name: name, Nodes: 1, Labd: filepath.Join(bin, "labd")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Down(ctx); err != nil {
				t.Error(err)
			}
		}()
		labs = append(labs, l)
	}
	kubectl(t, bin, labs[0].Kubeconfig(), "", "create", "namespace", "only-left")
	if got := kubectl(t, bin, labs[1].Kubeconfig(), "", "get", "namespaces", "-o", "name"); strings.Contains(got, "only-left") {
		t.Errorf("what is made in one lab is in the other: %s", got)
	}
	if all, err := lab.List(); err != nil || len(all) != 2 {
		t.Errorf("labs that are up: %+v, %v", all, err)
	}
	// The same addresses in both, and a fault in one is none in the other.
	h, err := labs[0].Hold(ctx, lab.Fault{Kind: lab.FaultPause, Targets: []string{"apiserver"}})
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, bin, labs[1].Kubeconfig(), "", "get", "--raw", "/readyz")
	if err := h.Undo(ctx); err != nil {
		t.Error(err)
	}
	if err := labs[0].Down(ctx); err != nil {
		t.Error(err)
	}
	kubectl(t, bin, labs[1].Kubeconfig(), "", "get", "--raw", "/readyz")
}

// another is some user that is neither root nor us, and has no name.
const another = 64321

// Two users have labs of the same name at the same time. To be two users a test
// must be root.
func TestTwoLabsOfTwoUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be a second user")
	}
	bin := binaries(t)
	place(t)
	theirs := theirBinaries(t, bin)
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	ours, err := lab.Up(ctx, lab.Options{Name: "same", Nodes: 1, Labd: filepath.Join(bin, "labd")})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Down(ctx)
	if out, err := theirs("lab", "up", "--name", "same", "--nodes", "1"); err != nil {
		t.Fatalf("the other user's lab: %v\n%s", err, out)
	}
	defer theirs("lab", "down", "--name", "same")
	out, err := theirs("lab", "kubectl", "--name", "same", "--", "get", "nodes", "--no-headers")
	if err != nil || !strings.Contains(out, " Ready ") {
		t.Errorf("the other user's nodes: %v\n%s", err, out)
	}
	kubectl(t, bin, ours.Kubeconfig(), "", "create", "namespace", "ours")
	if out, err := theirs("lab", "kubectl", "--name", "same", "--", "get", "namespaces", "-o", "name"); err != nil || strings.Contains(out, "/ours") {
		t.Errorf("the other user's namespaces: %v\n%s", err, out)
	}
	if out, err := theirs("lab", "up", "--name", "same"); exitCodeOf(err) != 4 || !strings.Contains(out, "already up") {
		t.Errorf("a second lab of one name: %v\n%s", err, out)
	}
	if out, err := theirs("lab", "down", "--name", "same"); err != nil {
		t.Errorf("the other user's lab down: %v\n%s", err, out)
	}
	kubectl(t, bin, ours.Kubeconfig(), "", "get", "--raw", "/readyz")
	if _, err := os.Stat(filepath.Join(os.Getenv("TMPDIR"), fmt.Sprintf("tightrope-%d", another))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other user's folder is left: %v", err)
	}
}

// theirBinaries runs the command line as another user, who gets copies: nobody
// else can be expected to read ours.
func theirBinaries(t *testing.T, bin string) func(args ...string) (string, error) {
	t.Helper()
	folder := os.Getenv("TMPDIR")
	if err := os.Chmod(folder, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tightrope", "labd", "hyperkube"} {
		b, err := os.ReadFile(filepath.Join(bin, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return func(args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(folder, "tightrope"), args...)
		cmd.Dir, cmd.Env = folder, []string{"TMPDIR=" + folder, "HOME=" + folder, "PATH=/nowhere"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: another, Gid: another}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

func exitCodeOf(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

// A lab that nobody holds leaves the reason of its end, once.
func TestADetachedLabThatEndsByItselfSaysWhy(t *testing.T) {
	bin := binaries(t)
	place(t)
	run := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(bin, "tightrope"), append([]string{"lab", "--name", "alone"}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("up", "--nodes", "0"); err != nil {
		t.Fatalf("lab up: %v\n%s", err, out)
	}
	t.Cleanup(func() { _, _ = run("down") }) // where the test gave up: nobody holds this lab
	user := userNamespace(t, "alone")
	var etcd int
	for _, dir := range processes("hyperkube\x00etcd\x00") {
		if ns, err := os.Readlink(filepath.Join(dir, "ns/user")); err == nil && ns == user {
			fmt.Sscanf(filepath.Base(dir), "%d", &etcd)
		}
	}
	if etcd == 0 {
		t.Fatal("the lab's etcd is not found")
	}
	if err := syscall.Kill(etcd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, err := lab.Find("alone"); return err != nil })
	eventually(t, func() bool { return nothingLeft(t, user) == "" })
	for range 2 { // status only reads
		if out, err := run("status"); exitCodeOf(err) != 4 || !strings.Contains(out, "ended by itself") || !strings.Contains(out, "etcd of the lab ended (signal: killed)") {
			t.Errorf("lab status: %v\n%s", err, out)
		}
	}
	if out, err := run("down"); exitCodeOf(err) != 4 || !strings.Contains(out, "ended by itself") {
		t.Errorf("lab down: %v\n%s", err, out)
	}
	if out, err := run("status"); exitCodeOf(err) != 4 || strings.Contains(out, "ended by itself") {
		t.Errorf("lab status after lab down: %v\n%s", err, out)
	}
	wantNothingLeft(t, user)
}
