package dial

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
)

// tryDNS asks the check's host itself for an address record, not the servers of
// resolv.conf. Any answer to that question is an answer, NXDOMAIN and REFUSED
// too; its response code is the status.
func tryDNS(ctx context.Context, check probes.Check) Result {
	id := uint16(rand.Uint32())
	question, err := ask(id, check.Query)
	if err != nil {
		return Result{Detail: err.Error()}
	}
	network := strings.ToLower(check.Protocol)
	conn, r := connect(ctx, network, check)
	if conn == nil {
		return r
	}
	defer conn.Close()
	defer interrupt(ctx, conn)()
	if network == "tcp" {
		return overTCP(ctx, conn, id, question)
	}
	return overUDP(ctx, conn, id, question)
}

// ask makes the question for name's IPv4 address.
func ask(id uint16, name string) ([]byte, error) {
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("DNS question %.60q: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	raw, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("DNS question %.60q: %w", name, err)
	}
	return raw, nil
}

// overUDP asks once: a lost datagram is a failed attempt, like a lost SYN. Only
// datagrams of the target's address arrive here, and of those only an answer
// with our random ID is ours.
func overUDP(ctx context.Context, conn net.Conn, id uint16, question []byte) Result {
	if _, err := conn.Write(question); err != nil {
		return failed(ctx, err)
	}
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return failed(ctx, err)
		}
		if status, ok := answers(buf[:n], id); ok {
			return Result{Outcome: probes.Reached, Status: status}
		}
	}
}

// overTCP asks on an open connection: that alone shows that the network is open.
func overTCP(ctx context.Context, conn net.Conn, id uint16, question []byte) Result {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question)))
	if _, err := conn.Write(append(framed, question...)); err != nil {
		return connected(ctx, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return connected(ctx, err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return Result{Outcome: probes.Reached, Detail: silent}
	}
	status, ok := answers(reply, id)
	if !ok {
		return Result{Outcome: probes.Reached, Detail: silent}
	}
	return Result{Outcome: probes.Reached, Status: status}
}

// answers reports whether a message is an answer with that ID, and its response code.
func answers(message []byte, id uint16) (int, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != id {
		return 0, false
	}
	return int(h.RCode), true
}
