package main

import (
	"golang.org/x/net/dns/dnsmessage"
)

// refuseDNS answers a DNS question with REFUSED and the nonce in a TXT record:
// enough for a DNS check, which takes any answer to its question for proof that
// the path is open. It returns nil for anything that is not one question.
func refuseDNS(datagram []byte, nonce string) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(datagram)
	if err != nil || h.Response || h.OpCode != 0 {
		return nil
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionDesired: h.RecursionDesired, RCode: dnsmessage.RCodeRefused},
		Questions: questions,
	}
	if nonce != "" {
		m.Additionals = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("tightrope-nonce."), Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.TXTResource{TXT: []string{nonce}},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}
