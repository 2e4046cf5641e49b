package standin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tightrope-dev/tightrope/catalog"
)

const (
	connectTimeout = time.Second
	callTimeout    = 5 * time.Second
	maxAnswer      = 4 << 20 // bytes read of one answer
	maxAddresses   = 64      // asked of one name
)

// fresh makes a new connection for every request, because a connection that is
// already open may survive the policy that would refuse a new one.
var fresh = &http.Transport{
	DisableKeepAlives:     true,
	DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
	ResponseHeaderTimeout: callTimeout,
}

// client makes one configured call, over and over or when asked.
type client struct {
	call    Call
	request catalog.Request
	metrics *metrics
	log     *slog.Logger
	last    atomic.Value // outcome of the newest call; unset before the first
}

func newClient(c Call, m *metrics, log *slog.Logger) (*client, error) {
	r, err := c.resolve()
	if err != nil {
		return nil, err
	}
	m.expect(c.Address)
	return &client{call: c, request: r, metrics: m, log: log}, nil
}

// callEvery calls at once and then after each pause, until ctx ends.
func (c *client) callEvery(ctx context.Context, pause time.Duration) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		c.callOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// callOnce makes the call; a request that goes to each address is made to all
// that the name has now.
func (c *client) callOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	hosts := []string{c.call.Address}
	if c.request.Each {
		var err error
		if hosts, err = addresses(ctx, c.call.Address); err != nil {
			c.note(ctx, err, 0)
			return
		}
	}
	for _, host := range hosts {
		started := time.Now()
		resp, err := c.send(ctx, host, strings.NewReader(c.request.Body))
		if err == nil {
			err = c.read(resp.Body)
			resp.Body.Close()
		}
		c.note(ctx, err, time.Since(started))
	}
}

// addresses resolves host:port to every address:port.
func addresses(ctx context.Context, hostPort string) ([]string, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		all = append(all, net.JoinHostPort(ip, port))
	}
	return all, nil
}

// send asks the host, under the name of the target. A status other than 2xx is
// an error; the body of a response without error is the caller's to close.
func (c *client) send(ctx context.Context, host string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, c.request.Method, "http://"+host+c.request.Path, body)
	if err != nil {
		return nil, err
	}
	req.Host = c.call.Address
	req.Header.Set("User-Agent", "tightrope-standin")
	if c.request.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := fresh.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		resp.Body.Close()
		return nil, fmt.Errorf("%w %d from %s", errStatus, resp.StatusCode, c.call.Address)
	}
	return resp, nil
}

// read takes the whole answer, bounded. A stream must end with its end mark:
// one that stops before was cut.
func (c *client) read(body io.Reader) error {
	body = io.LimitReader(body, maxAnswer)
	if !c.request.Stream {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	lines, tokens := bufio.NewScanner(body), 0
	for lines.Scan() {
		switch data, isData := strings.CutPrefix(lines.Text(), "data: "); {
		case !isData:
		case data == streamEnd:
			return nil
		default:
			tokens++
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: the stream of %s stopped after %d tokens without %s", errBroken, c.call.Address, tokens, streamEnd)
}

// note counts the outcome, and logs it when it differs from the one before. A
// call that we ourselves cut short by stopping proves nothing and is not counted.
func (c *client) note(ctx context.Context, err error, took time.Duration) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	now := classify(err)
	c.metrics.called(c.call.Address, now, took, time.Now())
	before := c.last.Swap(now)
	if before == now {
		return
	}
	attrs := []any{"target", c.call.Address, "request", c.request.Name, "outcome", string(now)}
	if before != nil {
		attrs = append(attrs, "before", string(before.(outcome)))
	}
	if err != nil {
		c.log.Warn("call fails", append(attrs, "error", err)...)
		return
	}
	c.log.Info("call works", attrs...)
}
