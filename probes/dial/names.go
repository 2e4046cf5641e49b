package dial

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rereadNames is how often the pod's files about names are read again.
const rereadNames = 5 * time.Second

// names is what the pod knows about names, read again every so often.
type names struct {
	read func() namesConfig
	at   time.Time
	now  namesConfig
}

func (n *names) config() namesConfig {
	if now := time.Now(); n.at.IsZero() || now.Sub(n.at) >= rereadNames {
		n.at, n.now = now, n.read()
	}
	return n.now
}

// namesConfig is a pod's /etc/hosts and resolv.conf, and the address families it has.
type namesConfig struct {
	hosts   map[string][]netip.Addr // by name in lower case, without a final dot
	servers []netip.AddrPort
	search  []string // absolute
	ndots   int      // names with so many dots are tried as they are first
	v4, v6  bool     // which kinds of address are asked for
}

// readNames is replaced by tests that need a name server of their own.
var readNames = func() namesConfig {
	c := parseResolvConf(readFile("/etc/resolv.conf"))
	c.hosts = parseHosts(readFile("/etc/hosts"))
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil
	}
	c.v4, c.v6 = families(addrs)
	return c
}

// readFile is a file's text; one that cannot be read has none, as for every resolver.
func readFile(name string) string {
	raw, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(raw)
}

// parseResolvConf reads what resolv.conf(5) says of name servers, search and ndots.
func parseResolvConf(text string) namesConfig {
	c := namesConfig{ndots: 1}
	for fields := range fieldsOfLines(text) {
		switch key, values := fields[0], fields[1:]; key {
		case "nameserver":
			if len(values) == 0 || len(c.servers) == 3 { // as many as resolvers take
				continue
			}
			if addr, err := netip.ParseAddr(values[0]); err == nil {
				c.servers = append(c.servers, netip.AddrPortFrom(addr, 53))
			}
		case "search", "domain":
			c.search = nil
			for _, domain := range values {
				if domain != "." {
					c.search = append(c.search, strings.TrimSuffix(domain, ".")+".")
				}
			}
		case "options":
			for _, option := range values {
				if n, err := strconv.Atoi(strings.TrimPrefix(option, "ndots:")); err == nil && strings.HasPrefix(option, "ndots:") {
					c.ndots = max(0, min(n, 15))
				}
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")} // what resolv.conf(5) says of none
	}
	return c
}

// parseHosts reads hosts(5).
func parseHosts(text string) map[string][]netip.Addr {
	hosts := map[string][]netip.Addr{}
	for fields := range fieldsOfLines(text) {
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = hostKey(name)
			hosts[name] = append(hosts[name], addr)
		}
	}
	return hosts
}

// fieldsOfLines yields the words of each line that has any outside comments.
func fieldsOfLines(text string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			line := lines.Text()
			if i := strings.IndexAny(line, "#;"); i >= 0 {
				line = line[:i]
			}
			if fields := strings.Fields(line); len(fields) > 0 && !yield(fields) {
				return
			}
		}
	}
}

func hostKey(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// families says which kinds of address a pod with these addresses asks for: those
// that it has. One that has neither outside its own loopback asks for both.
func families(addrs []net.Addr) (v4, v6 bool) {
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Unmap().Is4() {
			v4 = true
		} else {
			v6 = true
		}
	}
	if !v4 && !v6 {
		return true, true
	}
	return v4, v6
}

// candidates are the absolute names to ask about, the first first: an absolute
// name is itself, others go through the search list.
func (c namesConfig) candidates(host string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var out []string
	for _, domain := range c.search {
		out = append(out, host+"."+domain)
	}
	if strings.Count(host, ".") >= c.ndots {
		return slices.Insert(out, 0, host+".")
	}
	return append(out, host+".")
}

// sorted orders addresses as RFC 6724 does where a pod has both families: IPv6,
// then IPv4, then unique local addresses.
func sorted(addrs []netip.Addr) []netip.Addr {
	rank := func(a netip.Addr) int {
		switch {
		case a.Unmap().Is4():
			return 1
		case a.IsPrivate():
			return 2
		}
		return 0
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	return addrs
}
