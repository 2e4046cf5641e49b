package dial

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
)

// lookup resolves the name of one attempt's target afresh, so that no cache
// answers. It asks for both families at once, over a socket of its own that ends
// with the attempt. Each server is asked once: a lost datagram is a failed attempt,
// and an attempt's time is far less than what a resolver waits before it asks again.
type lookup struct {
	attempt *Attempt
	config  namesConfig
	names   []string // to ask about, the first now
	server  int      // the one that is asked
	waits   []query  // unanswered
	addrs   []netip.Addr
	failed  *Result // of a server before
}

// query is one question under way.
type query struct {
	id   uint16
	kind dnsmessage.Type
}

// resolve looks the attempt's name up: in the pod's hosts file, then at its name servers.
func (a *Attempt) resolve() {
	config := a.network.names.config()
	a.began = time.Now()
	if addrs := config.hosts[hostKey(a.check.Host)]; len(addrs) > 0 {
		a.resolved(slices.Clone(addrs))
		return
	}
	a.lookup = &lookup{attempt: a, config: config, names: config.candidates(a.check.Host)}
	a.lookup.ask()
}

// resolved goes on with the addresses of the target.
func (a *Attempt) resolved(addrs []netip.Addr) {
	a.close()
	a.lookup, a.took = nil, max(1, time.Since(a.began))
	for _, addr := range sorted(addrs) {
		a.left = append(a.left, netip.AddrPortFrom(addr, uint16(a.check.Port)))
	}
	a.connect()
}

// ask asks the next server that can be asked about the first name.
func (l *lookup) ask() {
	for ; l.server < len(l.config.servers); l.server++ {
		server := l.config.servers[l.server]
		l.attempt.close()
		err := l.attempt.open(server, "UDP")
		if err == nil {
			err = l.question()
		}
		if err == nil {
			return
		}
		l.note(lookupFailure(server, err))
	}
	l.attempt.end(*l.failed) // there is a server, see parseResolvConf
}

// question asks about the first name, for each family.
func (l *lookup) question() error {
	l.waits, l.addrs = l.waits[:0], nil
	for kind, wanted := range map[dnsmessage.Type]bool{dnsmessage.TypeA: l.config.v4, dnsmessage.TypeAAAA: l.config.v6} {
		if !wanted {
			continue
		}
		q := query{id: uint16(rand.Uint32()), kind: kind}
		raw, err := ask(q.id, l.names[0], kind, largeAnswers)
		if err != nil {
			return err
		}
		if _, err := rawWrite(l.attempt.fd, raw); err != nil {
			return err
		}
		l.waits = append(l.waits, q)
	}
	return nil
}

// note keeps the first failure of a server, which is told if no other helps.
func (l *lookup) note(r Result) {
	if l.failed == nil {
		l.failed = &r
	}
}

// lost goes on with the next server: the network, or the host, refused this one.
func (l *lookup) lost(err error) { l.next(lookupFailure(l.config.servers[l.server], err)) }

func (l *lookup) next(r Result) {
	l.note(r)
	l.server++
	l.ask()
}

// hear takes a datagram. What is no answer to a question under way is passed over.
func (l *lookup) hear(datagram []byte) {
	var p dnsmessage.Parser
	head, err := p.Start(datagram)
	if err != nil || !head.Response {
		return
	}
	asked, err := p.Question()
	if err != nil || !strings.EqualFold(asked.Name.String(), l.names[0]) {
		return
	}
	i := slices.IndexFunc(l.waits, func(q query) bool { return q.id == head.ID && q.kind == asked.Type })
	if i < 0 {
		return
	}
	l.waits = slices.Delete(l.waits, i, i+1)
	if head.RCode != dnsmessage.RCodeSuccess && head.RCode != dnsmessage.RCodeNameError {
		l.next(l.unanswered("name server " + l.config.servers[l.server].String() + " says " + head.RCode.GoString()))
		return
	}
	l.addrs = append(l.addrs, addresses(&p)...)
	if len(l.addrs) == 0 && head.Truncated {
		l.next(l.unanswered("the answer is truncated and holds no address"))
		return
	}
	if len(l.waits) == 0 {
		l.answered()
	}
}

// answered goes on when every family of a name is answered: with its addresses, or
// with the next name of the search list.
func (l *lookup) answered() {
	if len(l.addrs) > 0 {
		l.attempt.resolved(l.addrs)
		return
	}
	if l.names = l.names[1:]; len(l.names) == 0 {
		l.attempt.end(l.unanswered("no such host"))
		return
	}
	if err := l.question(); err != nil {
		l.lost(err)
	}
}

func (l *lookup) unanswered(why string) Result {
	return Result{Outcome: probes.DNSFailure, Detail: "lookup " + l.attempt.check.Host + ": " + why}
}

// addresses are the records of an answer that hold one.
func addresses(p *dnsmessage.Parser) []netip.Addr {
	if p.SkipAllQuestions() != nil {
		return nil
	}
	var out []netip.Addr
	for {
		head, err := p.AnswerHeader()
		if err != nil {
			return out // the end, or garbage
		}
		switch head.Type {
		case dnsmessage.TypeA:
			r, err := p.AResource()
			if err != nil {
				return out
			}
			out = append(out, netip.AddrFrom4(r.A))
		case dnsmessage.TypeAAAA:
			r, err := p.AAAAResource()
			if err != nil {
				return out
			}
			out = append(out, netip.AddrFrom16(r.AAAA))
		default:
			if p.SkipAnswer() != nil {
				return out
			}
		}
	}
}
