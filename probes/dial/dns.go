package dial

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
)

// dnsTalk asks the check's host itself for an address record, not the servers of
// resolv.conf. Any answer to that question is an answer, NXDOMAIN and REFUSED
// too; its response code is the status. It asks once: a lost datagram is a failed
// attempt, like a lost SYN. Only datagrams of the target's address arrive, and of
// those only an answer with our random ID is ours.
type dnsTalk struct {
	id       uint16
	question []byte
	framed   bool   // over TCP, with the length before each message
	reply    []byte // heard so far, over TCP
}

func newDNSTalk(check probes.Check) (talk, error) {
	d := &dnsTalk{id: uint16(rand.Uint32()), framed: check.Protocol == "TCP"}
	name := check.Query
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	var err error
	if d.question, err = ask(d.id, name, dnsmessage.TypeA); err != nil {
		return nil, err
	}
	if d.framed {
		d.question = append(binary.BigEndian.AppendUint16(nil, uint16(len(d.question))), d.question...)
	}
	return d, nil
}

// largeAnswers says in a question that an answer may have as many bytes as pass
// every network in one datagram, so that a headless Service fits.
func largeAnswers(m *dnsmessage.Message) {
	var head dnsmessage.ResourceHeader
	if head.SetEDNS0(1232, dnsmessage.RCodeSuccess, false) == nil {
		m.Additionals = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.OPTResource{}}}
	}
}

// ask makes a question for a record of an absolute name.
func ask(id uint16, name string, kind dnsmessage.Type, options ...func(*dnsmessage.Message)) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("DNS question %.60q: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: dnsmessage.ClassINET}},
	}
	for _, option := range options {
		option(&m)
	}
	raw, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("DNS question %.60q: %w", name, err)
	}
	return raw, nil
}

func (d *dnsTalk) request() []byte { return d.question }

func (d *dnsTalk) hear(data []byte) (Result, bool) {
	message := data
	if d.framed {
		d.reply = append(d.reply, data...)
		if len(d.reply) < 2 || len(d.reply)-2 < int(binary.BigEndian.Uint16(d.reply)) {
			return Result{}, false
		}
		message = d.reply[2:]
	}
	status, ours := answers(message, d.id)
	switch {
	case ours:
		return Result{Outcome: probes.Reached, Status: status}, true
	case d.framed: // nobody else speaks on this connection
		return Result{Outcome: probes.Reached, Detail: silent}, true
	}
	return Result{}, false
}

func (d *dnsTalk) broken() string { return silent }

// answers reports whether a message is an answer with that ID, and its response code.
func answers(message []byte, id uint16) (int, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != id {
		return 0, false
	}
	return int(h.RCode), true
}
