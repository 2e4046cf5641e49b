package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	labName = "conformance"
	// endPatience is how long a process that was told to end may take.
	endPatience = 30 * time.Second
)

// runningLab is a lab that this process owns. It ends when this process does,
// however it does.
type runningLab struct {
	cmd        *exec.Cmd
	stop       context.CancelFunc
	kubeconfig string
	kubectl    string
	scratch    string
}

// images maps the names that the tests use to agnhost and to folders in which the
// toolbox lies beside it. The lab finds an image whatever registry and tag it is
// asked for under.
func (o options) images() []string {
	folder := func(name string) string { return filepath.Join(o.bin, "conformance", "images", name) }
	return []string{
		"--image", "pause=" + o.program("agnhost") + " pause",
		"--image", "e2e-test-images/agnhost=" + folder("agnhost") + " /agnhost -- pause",
		"--image", "e2e-test-images/glibc-dns-testing=" + folder("tools") + " /bin/sh",
		"--image", "e2e-test-images/busybox=" + folder("tools") + " /bin/sh",
	}
}

// startLab returns a lab in any case: its end is the caller's.
func startLab(ctx context.Context, o options) (*runningLab, error) {
	l := &runningLab{}
	var err error
	if l.scratch, err = os.MkdirTemp("", "conformance-"); err != nil {
		return l, err
	}
	if l.kubectl, err = writeKubectl(l.scratch, o.bin); err != nil {
		return l, err
	}
	args := append([]string{"lab", "up", "--foreground", "--name", labName, "--nodes", "2", "--dataplane", o.plane}, o.images()...)
	// The lab outlives ctx, so that tests that are interrupted can clean up.
	starting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, giveUp)
	defer stop()
	l.stop = giveUp
	l.cmd = ownGroup(exec.CommandContext(starting, filepath.Join(o.bin, "tightrope"), args...))
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return l, err
	}
	if err := l.cmd.Start(); err != nil {
		return l, fmt.Errorf("start a lab: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && l.kubeconfig == "" {
		fmt.Println(lines.Text())
		_, l.kubeconfig, _ = strings.Cut(lines.Text(), "export KUBECONFIG=")
	}
	if l.kubeconfig == "" {
		return l, fmt.Errorf("the lab did not come up")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return l, nil
}

// ownGroup keeps a terminal's Ctrl-C from a child: this process decides the order
// in which things end. A child that is left alone, because this process was
// killed, is told to end by the kernel.
func ownGroup(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = endPatience
	return cmd
}

// writeKubectl makes the one file that the tests run as kubectl.
func writeKubectl(dir, bin string) (string, error) {
	path := filepath.Join(dir, "kubectl")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' kubectl \"$@\"\n", filepath.Join(bin, "labd"))
	return path, os.WriteFile(path, []byte(script), 0o755)
}

func (l *runningLab) end() {
	if l.cmd != nil && l.cmd.Process != nil {
		if exec.Command(l.cmd.Path, "lab", "down", "--name", labName).Run() != nil {
			l.stop()
		}
		_ = l.cmd.Wait()
	}
	if l.scratch != "" {
		_ = os.RemoveAll(l.scratch)
	}
}
