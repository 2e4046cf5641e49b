package dial

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strconv"

	"github.com/tightrope-dev/tightrope/probes"
)

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 64 << 10

// webTalk asks by HTTP/1.1. Any status is an answer, a redirect too: it is not
// followed. The body is not read.
type webTalk struct {
	check probes.Check
	head  []byte // heard so far
}

func newWebTalk(check probes.Check) (talk, error) { return &webTalk{check: check}, nil }

func (w *webTalk) request() []byte {
	host := net.JoinHostPort(w.check.Host, strconv.Itoa(int(w.check.Port)))
	return []byte("GET " + w.check.Path + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: tightrope-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

func (w *webTalk) hear(data []byte) (Result, bool) {
	w.head = append(w.head, data...)
	const opening = "HTTP/"
	start := w.head[:min(len(opening), len(w.head))]
	switch {
	case !bytes.HasPrefix([]byte(opening), start), len(w.head) > maxReply:
		return Result{Outcome: probes.Reached, Detail: hungUp}, true
	case !bytes.Contains(w.head, []byte("\r\n\r\n")) && !bytes.Contains(w.head, []byte("\n\n")):
		return Result{}, false
	}
	reply, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(w.head), len(w.head)), nil)
	if err != nil {
		return Result{Outcome: probes.Reached, Detail: hungUp}, true
	}
	// The body is left alone: closing it would read it to its end, and it is not there.
	return Result{Outcome: probes.Reached, Status: reply.StatusCode}, true
}

func (w *webTalk) broken() string { return hungUp }
