package writer

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
)

const (
	// backOffFrom and backOffTo are the first and the longest wait between two tries, be
	// it of a request or of a connection.
	backOffFrom = 20 * time.Millisecond
	backOffTo   = time.Second
	// dialWithin bounds a dial and what it waits before it. What it was for may be over:
	// Go's transport dials on.
	dialWithin = 5 * time.Second
)

// lane is one connection to the API server, dialled anew when it is lost.
type lane struct {
	dialer    *connrotation.Dialer
	transport http.RoundTripper
	live      string        // URL that answers without work
	doubted   chan struct{} // somebody waits for an answer in vain

	mu     sync.Mutex
	failed int       // dials in a row
	next   time.Time // before which nobody dials
}

func newLane(cfg *rest.Config) (*lane, error) {
	l := &lane{doubted: make(chan struct{}, 1)}
	own := rest.CopyConfig(cfg)
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: warmEvery}).DialContext
	}
	l.dialer = connrotation.NewDialer(l.backingOff(dial))
	own.Dial = l.dialer.DialContext // no two are equal: what makes client-go share no connection
	base, _, err := rest.DefaultServerUrlFor(own)
	if err != nil {
		return nil, err
	}
	l.live = base.JoinPath("livez").String()
	l.transport, err = rest.TransportFor(own) // with HTTP/2 pings
	return l, err
}

// backingOff makes dials wait after one that failed, longer each time: then one is
// tried while the others wait for what comes of it.
func (l *lane) backingOff(dial connrotation.DialFunc) connrotation.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, stop := context.WithTimeout(ctx, dialWithin)
		defer stop()
		for wait := l.turn(); wait > 0; wait = l.turn() {
			if err := sleep(ctx, wait); err != nil {
				return nil, err
			}
		}
		conn, err := dial(ctx, network, address)
		l.dialled(err)
		return conn, err
	}
}

// turn is how long to wait before the next dial; 0: dial now.
func (l *lane) turn() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait := l.next.Sub(now); wait > 0 {
		return wait
	}
	if l.failed > 0 {
		l.next = now.Add(backOff(l.failed))
	}
	return 0
}

func (l *lane) dialled(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failed, l.next = 0, time.Time{}
		return
	}
	l.next = time.Now().Add(backOff(l.failed))
	l.failed++
}

// keepWarm uses the lane again and again, and whenever somebody doubts it.
func (l *lane) keepWarm(ctx context.Context) {
	defer l.dialer.CloseAll()
	again := time.NewTicker(warmEvery)
	defer again.Stop()
	for ctx.Err() == nil {
		l.check(ctx)
		select {
		case <-ctx.Done():
		case <-again.C:
		case <-l.doubted:
		}
	}
}

// check closes the connection if it does not answer: what waits on it fails at once,
// and is tried again on the next one. Any answer will do, a refusal too.
func (l *lane) check(ctx context.Context) {
	within, stop := context.WithTimeout(ctx, answersWithin)
	defer stop()
	r, err := http.NewRequestWithContext(within, http.MethodGet, l.live, nil)
	if err != nil {
		return // the URL was parsed when the lane was made
	}
	if a := l.try(r, nil); a.err != nil {
		l.dialer.CloseAll()
	}
}

func (l *lane) doubt() {
	select {
	case l.doubted <- struct{}{}:
	default: // it is looked at already
	}
}

// insist sends a request until something is decided, and says so when a try decided
// nothing. That is retried: a failure of the connection, of the API server, or of its
// patience. A denial is not.
func (l *lane) insist(ctx context.Context, r *http.Request, body []byte, stumbled func()) answer {
	began, a := time.Now(), answer{err: ctx.Err()}
	for tries := 0; ctx.Err() == nil; tries++ {
		a = l.patiently(r.Clone(ctx), body)
		if a.decides() {
			break
		}
		stumbled()
		wait := max(backOff(tries), a.retryAfter())
		if time.Since(began)+wait > insistFor || sleep(ctx, wait) != nil {
			break
		}
	}
	return a
}

// patiently has the lane looked at while its answer is late.
func (l *lane) patiently(r *http.Request, body []byte) answer {
	late := time.AfterFunc(hedgeAfter, l.doubt)
	defer late.Stop()
	return l.try(r, body)
}

// try sends a request once and reads the whole answer, so that a connection that dies
// in the middle of one has given none.
func (l *lane) try(r *http.Request, body []byte) answer {
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	response, err := l.transport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	raw, err := io.ReadAll(response.Body)
	if err := cmp.Or(err, response.Body.Close()); err != nil {
		return answer{err: err}
	}
	response.Body = io.NopCloser(bytes.NewReader(raw))
	return answer{response: response}
}

// answer is what came of a request over a lane: one of both. The zero value decides nothing.
type answer struct {
	response *http.Response
	err      error
	lane     int32
}

func (a answer) by(lane int32) answer {
	a.lane = lane
	if a.response != nil && !a.decides() {
		a.response.Header.Del("Retry-After") // it was insisted on here; client-go would wait for it ten times
	}
	return a
}

// decides reports whether another try could not change the answer.
func (a answer) decides() bool {
	if a.response == nil {
		return false
	}
	switch a.response.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// retryAfter is what the API server asks for, as far as a rollback may wait.
func (a answer) retryAfter() time.Duration {
	if a.response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(a.response.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, backOffTo)
}

func backOff(tries int) time.Duration { return min(backOffFrom<<min(tries, 10), backOffTo) }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// bodyOf reads what a request carries, so that it can be sent again; nil: nothing.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(r.Body)
	return raw, cmp.Or(err, r.Body.Close())
}
