package dial

import (
	"context"
	"net"
	"sync"
)

// dialNameServer opens a connection to a server of the pod's resolv.conf. Tests
// put a server of their own here.
var dialNameServer = (&net.Dialer{}).DialContext

// resolver resolves the name of one attempt's target, by Go's own resolver, so
// that neither a C library nor a cache answers. It adds what a net.Resolver lacks:
// the cause of not reaching a name server, which that turns into text, and an end
// of its sockets with the attempt; that lets them wait five seconds for an answer
// that nobody wants any more.
type resolver struct {
	mu    sync.Mutex // addresses of both families are asked for at once
	err   error
	conns []net.Conn
	over  bool
}

// fresh makes a resolver for one attempt. A net.Resolver merges overlapping
// questions for one name into one and does not give it up while anybody waits, so
// a shared one would turn one lost datagram into seconds of failed attempts.
func (r *resolver) fresh() *net.Resolver {
	dial := dialNameServer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err != nil:
			r.err = err
		case r.over:
			conn.Close()
		default:
			r.conns = append(r.conns, conn)
		}
		return conn, err
	}}
}

// failure is the last error of connecting to a name server; nil if there was none.
func (r *resolver) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// close ends what the attempt still asks name servers.
func (r *resolver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, conn := range r.conns {
		conn.Close()
	}
}
