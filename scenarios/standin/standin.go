// Package standin stands in for AI services: one small server that, given a
// profile of the catalog, listens on that service's real ports, answers on its
// real health paths, streams tokens where the real one does, and makes the calls
// that the real one makes, by Service name and on fresh connections. What it
// sees of its own calls is in its metrics, so that a policy that cuts a path
// shows there too, and not only in Tightrope's probes.
//
//	chat-api ──chat──► litellm ──search──► qdrant
//	                        └────chat────► vllm ──tokens──► back through both
package standin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tightrope-dev/tightrope/catalog"
)

// shutdownGrace is how long requests in flight may take once the server is told to stop.
const shutdownGrace = 3 * time.Second

// Options are what a test replaces. The zero value is what runs in a pod.
type Options struct {
	// Listen opens a port; nil listens on every address.
	Listen func(ctx context.Context, port catalog.Port) (net.Listener, error)
	// Log receives a line per change and a summary now and then; nil means slog.Default().
	Log *slog.Logger
	// TokenEvery is the pause between two tokens of a model; 0 means 15ms.
	TokenEvery time.Duration
}

// Server is one stand-in.
type Server struct {
	profile *catalog.Profile
	clients []*client // one per configured call, in order
	every   time.Duration
	metrics *metrics
	options Options
}

// New checks the configuration and makes a server that does nothing yet.
func New(c Config, o Options) (*Server, error) {
	p, err := catalog.Get(c.Profile)
	if err != nil {
		return nil, fmt.Errorf("stand-in: %w", err)
	}
	every, err := c.every()
	if err != nil {
		return nil, fmt.Errorf("stand-in %s: %w", p.Name, err)
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.TokenEvery == 0 {
		o.TokenEvery = 15 * time.Millisecond
	}
	s := &Server{profile: p, every: every, metrics: newMetrics(p.Name), options: o}
	for _, call := range c.Calls {
		cl, err := newClient(call, s.metrics, o.Log)
		if err != nil {
			return nil, fmt.Errorf("stand-in %s: %w", p.Name, err)
		}
		s.clients = append(s.clients, cl)
	}
	return s, nil
}

// Run serves and calls until ctx ends, then lets requests in flight finish for
// a few seconds. It returns nil after such an end, and an error when a port
// could not be opened or failed. Everything it started is over when it returns.
func (s *Server) Run(ctx context.Context) error {
	listeners, err := s.open(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error { return serve(ctx, l.server, l.Listener) })
	}
	if behaviours[s.profile.Name].steady() {
		for _, c := range s.clients {
			g.Go(func() error { return c.callEvery(ctx, s.every) })
		}
	}
	g.Go(func() error { return s.summarise(ctx) })
	return g.Wait()
}

type opened struct {
	net.Listener
	server *http.Server
}

// open opens every port of the profile before any is served, so that a pod is
// never half there.
func (s *Server) open(ctx context.Context) ([]opened, error) {
	var all []opened
	for _, port := range s.profile.Ports {
		handler := s.handler(port)
		if handler == nil {
			continue
		}
		l, err := s.options.Listen(ctx, port)
		if err != nil {
			for _, o := range all {
				o.Close()
			}
			return nil, fmt.Errorf("stand-in %s: open port %s (%d): %w", s.profile.Name, port.Name, port.Number, err)
		}
		all = append(all, opened{l, newHTTPServer(s.metrics.counted(port.Name, handler), s.options.Log)})
	}
	return all, nil
}

func listen(ctx context.Context, port catalog.Port) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(int(port.Number)))
}

// newHTTPServer speaks HTTP/1.1 and, for gRPC clients, HTTP/2 without TLS. It
// has no write timeout, because answers stream.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug), // a probe that hangs up is no news
	}
}

// serve returns when ctx has ended and the server is down, or when it fails.
func serve(ctx context.Context, server *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("stand-in: serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close() // a stream that does not end by itself
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stand-in: serve %s: %w", l.Addr(), err)
	}
	return nil
}
