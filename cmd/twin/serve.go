package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// nonceHeader carries the nonce in HTTP answers.
const nonceHeader = "Tightrope-Nonce"

// maxConnections at once, per port.
const maxConnections = 512

// serve answers on all ports until ctx ends, and calls listening with each port
// once it is open. It fails if one cannot be opened or breaks.
func serve(ctx context.Context, ports []port, nonce string, listening func(port)) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range ports {
		if err := start(ctx, g, p, nonce, listening); err != nil {
			g.Go(func() error { return err }) // ends the ones that were started
			break
		}
	}
	return g.Wait()
}

func start(ctx context.Context, g *errgroup.Group, p port, nonce string, listening func(port)) error {
	if p.protocol == "udp" {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: p.number})
		if err != nil {
			return fmt.Errorf("port %s: %w", p, err)
		}
		g.Go(func() error { return broken(ctx, p, serveDatagrams(conn, nonce)) })
		g.Go(func() error { <-ctx.Done(); return conn.Close() })
		listening(port{conn.LocalAddr().(*net.UDPAddr).Port, p.protocol})
		return nil
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: p.number})
	if err != nil {
		return fmt.Errorf("port %s: %w", p, err)
	}
	server := webServer(nonce)
	g.Go(func() error { return broken(ctx, p, server.Serve(netutil.LimitListener(l, maxConnections))) })
	g.Go(func() error { <-ctx.Done(); return server.Close() })
	listening(port{l.Addr().(*net.TCPAddr).Port, p.protocol})
	return nil
}

// broken is why a port was given up; nil if that was asked for.
func broken(ctx context.Context, p port, err error) error {
	if ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed)) {
		return nil
	}
	return fmt.Errorf("port %s: %w", p, err)
}

// webServer answers 200 to everything and bounds what a caller can hold.
func webServer(nonce string) *http.Server {
	return &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      5 * time.Second,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if nonce != "" {
				w.Header().Set(nonceHeader, nonce)
			}
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "tightrope twin\n") // a caller that has gone is its own affair
		}),
	}
}

// greeting begins every answer that is an echo.
const greeting = "tightrope-twin "

// serveDatagrams answers each datagram with one: a DNS question with a refusal,
// anything else with the nonce and what was said.
func serveDatagrams(conn *net.UDPConn, nonce string) error {
	buf := make([]byte, 1232)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		answer := refuseDNS(buf[:n], nonce)
		if answer == nil && !strings.HasPrefix(string(buf[:n]), greeting) { // two twins must not talk for ever
			answer = append([]byte(greeting+nonce+"\n"), buf[:n]...)
		}
		if answer != nil {
			_, _ = conn.WriteToUDPAddrPort(answer, from) // as lossy as the network
		}
	}
}
