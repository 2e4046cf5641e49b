// Command hyperkube is Kubernetes in one binary: every component of the lab is a
// process of its own that runs it with another first argument, because two of them do not
// get on in one process. labd starts it, with the stamp of its own build.
package main

import (
	"fmt"
	"os"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/node"
	"github.com/tightrope-dev/tightrope/clusters/labd/supervisor"
)

// stamp is set by the linker, and the same one in labd.
var stamp = "dev"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "hyperkube is a part of the lab's server; start the lab with `tightrope lab up`")
		os.Exit(4)
	}
	os.Exit(dispatch(os.Args[1], os.Args[2:]))
}

func dispatch(part string, args []string) int {
	switch part {
	case "supervise":
		return supervisor.Supervise(args, stamp)
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
	case "coredns":
		return controlplane.CoreDNS(args)
	case "kubectl":
		return controlplane.Kubectl(args)
	}
	fmt.Fprintf(os.Stderr, "hyperkube: no part %q; start the lab with `tightrope lab up`\n", part)
	return 4
}
