package dial

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/tightrope-dev/tightrope/probes"
)

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 64 << 10

// hungUp is the detail of a target that accepted and closed without a word, or
// that said something that is not HTTP.
const hungUp = "connected, no HTTP reply"

// tryHTTP asks over a connection of its own, by HTTP/1.1. Any status is an
// answer, a redirect too: it is not followed. The body is not read. A target that
// accepts and then says nothing was reached all the same, and Detail says so.
func tryHTTP(ctx context.Context, check probes.Check) Result {
	conn, r := connect(ctx, "tcp", check)
	if conn == nil {
		return r
	}
	defer conn.Close()
	defer interrupt(ctx, conn)()
	host := net.JoinHostPort(check.Host, strconv.Itoa(int(check.Port)))
	_, err := io.WriteString(conn, "GET "+check.Path+" HTTP/1.1\r\nHost: "+host+
		"\r\nUser-Agent: tightrope-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n")
	if err != nil {
		return connected(ctx, err)
	}
	heard := &counter{from: io.LimitReader(conn, maxReply)}
	reply, err := http.ReadResponse(bufio.NewReaderSize(heard, 1024), nil)
	if err != nil {
		if heard.bytes > 0 {
			return Result{Outcome: probes.Reached, Detail: hungUp}
		}
		return connected(ctx, err)
	}
	// The body is left alone: closing it would read it to its end, and a stream has none.
	return Result{Outcome: probes.Reached, Status: reply.StatusCode}
}

// connected says how an attempt ended that err broke off after the connect and
// before the target said anything.
func connected(ctx context.Context, err error) Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Result{Outcome: probes.Unsent, Detail: err.Error()}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Result{Outcome: probes.Reset, Detail: err.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Result{Outcome: probes.Reached, Detail: hungUp}
	}
	return Result{Outcome: probes.Reached, Detail: silent}
}

// counter counts what was read.
type counter struct {
	from  io.Reader
	bytes int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.bytes += n
	return n, err
}
