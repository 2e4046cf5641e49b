package dial

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

const (
	// streamPatience is how long a connection may be silent before it is given up: a
	// retransmission or two may pass meanwhile.
	streamPatience = 3 * time.Second
	// streamIdle is how long a connection is kept that nobody asks anything over.
	streamIdle = 10 * time.Second
	// streamQueue is how many attempts may wait for the one before.
	streamQueue = 16
)

// maxStatus bounds the number of a connection, which is told as the status.
const maxStatus = 999

// streams are the connections that a network keeps open, and the results that wait
// for its Work. The zero value has none.
type streams struct {
	open    map[string]*stream
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	told []answer
}

// stream is one connection that stays open over many attempts: each is a question
// over it, and the answer. So they show what becomes of a connection that was there
// before a policy was. Once it broke, the next attempt opens another one.
type stream struct {
	to     string
	asked  chan *exchange
	conn   net.Conn
	read   *bufio.Reader
	number int // of the connection, from 1
}

// exchange is one attempt as a stream knows it.
type exchange struct {
	attempt *Attempt
	gone    atomic.Bool // nobody waits for it any more
}

type answer struct {
	exchange *exchange
	result   Result
}

// say has the stream of a check make an attempt.
func (n *Network) say(a *Attempt) {
	addr, err := netip.ParseAddr(a.check.Host)
	if err != nil {
		a.end(Result{Detail: "a stream needs an address, and not a name"})
		return
	}
	to := net.JoinHostPort(addr.String(), strconv.Itoa(int(a.check.Port)))
	all := &n.streams
	if all.open == nil {
		all.open = map[string]*stream{}
		all.ctx, all.stop = context.WithCancel(context.Background())
	}
	s := all.open[a.check.ID+" "+to]
	if s == nil {
		s = &stream{to: to, asked: make(chan *exchange, streamQueue)}
		all.open[a.check.ID+" "+to] = s
		all.running.Go(func() { s.run(all.ctx, n.hear) })
	}
	a.exchange = &exchange{attempt: a}
	select {
	case s.asked <- a.exchange:
	default: // the ones before wait too long already; it runs out of time
	}
}

// hear takes a result from a stream's goroutine.
func (n *Network) hear(x answer) {
	n.streams.mu.Lock()
	n.streams.told = append(n.streams.told, x)
	n.streams.mu.Unlock()
	n.wake()
}

// answered ends the attempts that streams have answered.
func (n *Network) answered() {
	n.streams.mu.Lock()
	told := n.streams.told
	n.streams.told = nil
	n.streams.mu.Unlock()
	for _, x := range told {
		if !x.exchange.gone.Load() {
			x.exchange.attempt.end(x.result)
		}
	}
}

// close hangs up everywhere and waits for that.
func (s *streams) close() {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
}

// run makes one attempt after the other until ctx ends.
func (s *stream) run(ctx context.Context, tell func(answer)) {
	defer s.hangUp()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(streamIdle):
			s.hangUp()
		case x := <-s.asked:
			if !x.gone.Load() {
				tell(answer{x, s.exchange(ctx)})
			}
		}
	}
}

// exchange says one thing and hears the answer, over the connection that is there.
func (s *stream) exchange(ctx context.Context) Result {
	if s.conn == nil {
		conn, err := (&net.Dialer{Timeout: streamPatience}).DialContext(ctx, "tcp", s.to)
		if err != nil {
			return Result{Outcome: brokenBy(err), Detail: "no connection: " + err.Error()}
		}
		s.conn, s.read, s.number = conn, bufio.NewReader(conn), s.number%maxStatus+1
	}
	conn := s.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends the wait
	defer stop()
	err := conn.SetDeadline(time.Now().Add(streamPatience))
	if err == nil {
		_, err = conn.Write([]byte("HEAD / HTTP/1.1\r\nHost: " + s.to + "\r\nUser-Agent: tightrope-probe\r\n\r\n"))
	}
	if err == nil {
		err = s.head()
	}
	if err != nil {
		s.hangUp()
		outcome := brokenBy(err)
		if outcome == probes.Unsent {
			outcome = probes.Reset // it was open, and is not any more
		}
		return Result{Outcome: outcome, Status: s.number, Detail: "connection " + strconv.Itoa(s.number) + " broke: " + err.Error()}
	}
	return Result{Outcome: probes.Reached, Status: s.number}
}

// head reads an answer, which has a head and no body.
func (s *stream) head() error {
	for size := 0; size < maxReply; {
		line, err := s.read.ReadSlice('\n')
		if err != nil {
			return err
		}
		if size += len(line); len(line) <= len("\r\n") {
			return nil
		}
	}
	return errors.New("an answer without an end")
}

func (s *stream) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close() // whatever came of it, it is not used again
		s.conn, s.read = nil, nil
	}
}

// brokenBy says what an error of a connection is; Unsent: nothing that is known.
func brokenBy(err error) probes.Outcome {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return probes.TimedOut
	}
	return outcome(err)
}
