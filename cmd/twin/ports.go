package main

import (
	"fmt"
	"strconv"
	"strings"
)

// maxPorts bounds how many ports one twin serves.
const maxPorts = 256

// port is one port to answer on. Number 0 means any free one; only tests ask for it.
type port struct {
	number   int
	protocol string // tcp or udp
}

func (p port) String() string { return fmt.Sprintf("%d/%s", p.number, strings.ToUpper(p.protocol)) }

// parsePorts reads a list as in "8080/TCP,53/UDP". A port without a protocol is TCP.
func parsePorts(list string) ([]port, error) {
	var ports []port
	for item := range strings.SplitSeq(list, ",") {
		number, protocol, found := strings.Cut(item, "/")
		if !found {
			protocol = "TCP"
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 || protocol != "TCP" && protocol != "UDP" {
			return nil, fmt.Errorf("--listen: %.40q is no port: write them as 8080/TCP,53/UDP", item)
		}
		ports = append(ports, port{int(n), strings.ToLower(protocol)})
	}
	if len(ports) > maxPorts {
		return nil, fmt.Errorf("--listen: %d ports are more than %d", len(ports), maxPorts)
	}
	return ports, nil
}

// checkNonce refuses what an HTTP header cannot carry.
func checkNonce(nonce string) error {
	if len(nonce) > 128 {
		return fmt.Errorf("TWIN_NONCE has %d bytes, more than 128", len(nonce))
	}
	for _, b := range []byte(nonce) {
		if b <= ' ' || b >= 0x7f {
			return fmt.Errorf("TWIN_NONCE is %q: use printable ASCII without blanks", nonce)
		}
	}
	return nil
}
