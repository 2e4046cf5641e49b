package warden

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// Refusal is what `labd probe` prints: what the kernel refused, or nothing.
type Refusal struct {
	Step  string `json:"step,omitempty"`  // clone, or what the clone could not do; empty: nothing refused
	Errno int    `json:"errno,omitempty"` // 0 when the error is not the system's
	Error string `json:"error,omitempty"`
}

// Probe is `labd probe`: it tests whether a lab can be isolated here by doing
// it, and prints a Refusal as JSON. It always exits 0: a refusal is an answer.
func Probe() int {
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "tightrope-probe-")
	if err != nil {
		return printRefusal("temporary directory", err)
	}
	defer os.RemoveAll(dir)
	exe, err := os.Executable()
	if err != nil {
		return printRefusal("find this binary", err)
	}
	cmd := isolated("probe-inside", Config{Name: "probe", Dir: dir, Labd: exe}.encode())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return printRefusal("clone", err)
	}
	if err := cmd.Wait(); err != nil {
		return printRefusal("inside", err)
	}
	return 0
}

// ProbeInside is the part of Probe that runs in the clone.
func ProbeInside(args []string) int {
	cfg, err := DecodeConfig(args)
	if err == nil {
		err = isolate(cfg)
	}
	if err != nil {
		step, _, _ := strings.Cut(err.Error(), ":")
		return printRefusal(step, err)
	}
	return printRefusal("", nil)
}

func printRefusal(step string, err error) int {
	r := Refusal{Step: step}
	if err != nil {
		r.Error = err.Error()
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			r.Errno = int(errno)
		}
	}
	b, _ := json.Marshal(r) // strings and an int
	fmt.Println(string(b))
	return 0
}
