package layout

import (
	"fmt"
	"net"
	"strings"
)

// Addresses of the lab. They never meet the host's: the lab has a network
// namespace of its own.
const (
	address4, address6         = "172.31.0.1", "fd00:172:31::1" // of the API server, on the underlay
	serviceCIDR4, serviceCIDR6 = "10.96.0.0/16", "fd00:10:96::/112"
	serviceIP4, serviceIP6     = "10.96.0.1", "fd00:10:96::1"  // of the Service kubernetes.default
	dnsIP4, dnsIP6             = "10.96.0.10", "fd00:10:96::a" // of the Service kube-dns.kube-system
)

// Families are the IP families of a lab, the first one first in everything.
type Families string

// The families that a lab can have. The zero Families is IPv4.
const (
	IPv4 Families = "IPv4"
	IPv6 Families = "IPv6"
	Dual Families = "IPv4,IPv6"
)

// ParseFamilies reads what a person asked for.
func ParseFamilies(s string) (Families, error) {
	switch f := Families(s); f {
	case "":
		return IPv4, nil
	case IPv4, IPv6, Dual:
		return f, nil
	}
	return "", fmt.Errorf("IP families %q: want %s, %s or %s", s, IPv4, IPv6, Dual)
}

// Pick returns what belongs to the families out of one thing for each.
func (f Families) Pick(v4, v6 string) []string {
	switch f {
	case IPv6:
		return []string{v6}
	case Dual:
		return []string{v4, v6}
	}
	return []string{v4}
}

// HasIPv6 says whether IPv6 is among them.
func (f Families) HasIPv6() bool { return f == IPv6 || f == Dual }

// Addresses are the API server's, on the underlay.
func (f Families) Addresses() []string { return f.Pick(address4, address6) }

// Server is where the API server listens.
func (f Families) Server() string { return net.JoinHostPort(f.Addresses()[0], "6443") }

// ServiceCIDR is the ranges of ClusterIPs, separated by commas.
func (f Families) ServiceCIDR() string { return strings.Join(f.Pick(serviceCIDR4, serviceCIDR6), ",") }

// ServiceIPs are the addresses of the Service kubernetes.default; it has the first.
func (f Families) ServiceIPs() []string { return f.Pick(serviceIP4, serviceIP6) }

// DNSIPs are the addresses of the Service kube-dns.kube-system.
func (f Families) DNSIPs() []string { return f.Pick(dnsIP4, dnsIP6) }
