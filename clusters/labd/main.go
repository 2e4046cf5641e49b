// Command labd keeps the embedded lab cluster: it makes the lab's namespaces and
// its containers, and starts what runs in them. It is small, because it is started
// for every container; Kubernetes' own programs are in hyperkube, beside it. People
// use `tightrope lab`; only `up`, `probe`, `protocol` and `kubectl` are called from there.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/warden"
)

// stamp is set by the linker; hyperkube must have the same one.
var stamp = "dev"

// protocol is the version of what the command line and labd say to each other; it is
// the same as lab.Protocol there, which says when it is raised.
const protocol = "2"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "labd is the lab's server; start it with `tightrope lab up`")
		os.Exit(4)
	}
	os.Exit(dispatch(os.Args[1], os.Args[2:]))
}

func dispatch(part string, args []string) int {
	switch part {
	case "up":
		return warden.Up(args, stamp)
	case "init":
		return warden.Init(args)
	case "probe":
		return warden.Probe()
	case "probe-inside":
		return warden.ProbeInside(args)
	case "container-init":
		return container.Main(args)
	case "kubectl":
		return hyperkube()
	case "lookup":
		return lookup(args)
	case "stamp":
		fmt.Println(stamp)
		return 0
	case "protocol":
		fmt.Println(protocol)
		return 0
	}
	fmt.Fprintf(os.Stderr, "labd: no part %q; start the lab with `tightrope lab up`\n", part)
	return 4
}

// hyperkube becomes the program beside this one, with the same arguments. It
// returns only when it cannot.
func hyperkube() int {
	self, err := os.Executable()
	if err == nil {
		path := filepath.Join(filepath.Dir(self), "hyperkube")
		err = fmt.Errorf("%s: %w; build both with `make labd`, and keep them together", path, syscall.Exec(path, os.Args, os.Environ()))
	}
	fmt.Fprintln(os.Stderr, "labd:", err)
	return 1
}
