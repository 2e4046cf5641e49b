package podnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// setting is a file below /proc/sys/net and what it must hold.
type setting struct {
	path, value string
	optional    bool // kernels without IPv6 have no such file, and no need of it
}

var nodeSettings = []setting{
	{"ipv4/ip_forward", "1", false},
	{"ipv4/conf/all/route_localnet", "1", false}, // NodePorts answer on 127.0.0.1; the data plane keeps strangers out
	{"ipv4/conf/all/rp_filter", "0", false},
	{"ipv4/conf/default/rp_filter", "0", false},
	{"ipv4/conf/all/send_redirects", "0", false},
	{"ipv4/conf/default/send_redirects", "0", false},
	{"ipv6/conf/default/disable_ipv6", "1", true},
}

// The lab's policies are IPv4: a link-local IPv6 address would be a way around them.
var podSettings = []setting{
	{"ipv6/conf/all/disable_ipv6", "1", true},
	{"ipv6/conf/default/disable_ipv6", "1", true},
	{"ipv4/ip_unprivileged_port_start", "0", false},
}

// SetUpNode prepares the calling process's network namespace to route for pods.
func SetUpNode() error { return apply(nodeSettings) }

// apply writes to the namespace of the calling thread.
func apply(settings []setting) error {
	for _, s := range settings {
		err := os.WriteFile("/proc/sys/net/"+s.path, []byte(s.value), 0o644)
		if s.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("network setting: %w", err)
		}
	}
	return nil
}
