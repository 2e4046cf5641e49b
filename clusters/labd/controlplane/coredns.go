package controlplane

import (
	"os"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache" // the plugins that the lab's Corefile names
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

// CoreDNS is `labd coredns ARGS…`, with CoreDNS's own flags. It runs in pods.
func CoreDNS(args []string) int {
	os.Args = append([]string{"coredns"}, args...)
	coremain.Run()
	return 0
}
