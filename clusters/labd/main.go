// Command labd hosts the embedded lab cluster. It is one binary with many parts:
// each component of the lab is a process of its own that runs it again with
// another first argument, because two Kubernetes components do not get on in one
// process. People use `tightrope lab`; only `up`, `stamp` and `kubectl` are called from there.
package main

import (
	"fmt"
	"os"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/node"
	"github.com/tightrope-dev/tightrope/clusters/labd/supervisor"
)

// stamp is set by the linker; the command line refuses a labd with another one.
var stamp = "dev"

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
		return supervisor.Up(args)
	case "init":
		return supervisor.Init(args)
	case "supervise":
		return supervisor.Supervise(args)
	case "probe":
		return supervisor.Probe()
	case "probe-inside":
		return supervisor.ProbeInside(args)
	case "etcd":
		return controlplane.Etcd()
	case "apiserver":
		return controlplane.APIServer(args)
	case "controller-manager":
		return controlplane.ControllerManager()
	case "scheduler":
		return controlplane.Scheduler()
	case "node":
		return node.Main(args)
	case "container-init":
		return container.Main(args)
	case "coredns":
		return controlplane.CoreDNS(args)
	case "kubectl":
		return controlplane.Kubectl(args)
	case "lookup":
		return lookup(args)
	case "stamp":
		fmt.Println(stamp)
		return 0
	}
	fmt.Fprintf(os.Stderr, "labd: no part %q; start the lab with `tightrope lab up`\n", part)
	return 4
}
