package podnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// setting is a file below /proc/sys/net and what it must hold.
type setting struct {
	path, value string
	optional    bool // kernels without IPv6 have no such file, and no need of it
}

var nodeSettings = []setting{
	{"ipv4/ip_forward", "1", false},
	{"ipv4/conf/all/route_localnet", "1", false}, // NodePorts answer on 127.0.0.1; the data plane keeps strangers out
	{"ipv4/icmp_ratelimit", "0", false},          // a refusal that is not told would be taken for silence
	{"ipv4/conf/all/rp_filter", "0", false},
	{"ipv4/conf/default/rp_filter", "0", false},
	{"ipv4/conf/all/send_redirects", "0", false},
	{"ipv4/conf/default/send_redirects", "0", false},
}

// Where the lab has no IPv6, a link-local address would be a way around policies.
var nodeSettingsIPv4 = []setting{
	{"ipv6/conf/default/disable_ipv6", "1", true},
}

// Addresses of IPv6 are given, as those of IPv4 are: none is made up by the kernel
// and none has to wait until it is known to be nobody else's.
var nodeSettingsIPv6 = []setting{
	{"ipv6/conf/all/forwarding", "1", false},
	{"ipv6/icmp/ratelimit", "0", false},
	{"ipv6/conf/default/disable_ipv6", "0", false},
	{"ipv6/conf/default/addr_gen_mode", "1", false},
	{"ipv6/conf/default/accept_dad", "0", false},
	{"ipv6/conf/default/accept_ra", "0", false},
}

var podSettings = []setting{
	{"ipv4/ip_unprivileged_port_start", "0", false},
}

var podSettingsIPv4 = []setting{
	{"ipv6/conf/all/disable_ipv6", "1", true},
	{"ipv6/conf/default/disable_ipv6", "1", true},
}

var podSettingsIPv6 = []setting{
	{"ipv6/conf/all/disable_ipv6", "0", false},
	{"ipv6/conf/default/disable_ipv6", "0", false},
	{"ipv6/conf/default/addr_gen_mode", "1", false},
	{"ipv6/conf/default/accept_dad", "0", false},
	{"ipv6/conf/all/accept_dad", "0", false},
	{"ipv6/conf/default/accept_ra", "0", false},
}

// SetUpNode prepares the calling thread's network namespace to route for pods.
func SetUpNode(ipv6 bool) error {
	if ipv6 {
		return apply(slices.Concat(nodeSettings, nodeSettingsIPv6))
	}
	return apply(slices.Concat(nodeSettings, nodeSettingsIPv4))
}

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
