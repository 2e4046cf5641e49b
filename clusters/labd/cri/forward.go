package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
)

// dialTime bounds the connection to a port of the pod's own loopback address.
const dialTime = 5 * time.Second

// forward joins a stream with a TCP port of the pod, as seen from inside it. It
// returns when both directions have ended, or one has failed.
func (r *Runtime) forward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	s := r.findSandbox(id)
	if s == nil {
		return notFound("pod sandbox", id)
	}
	conn, err := s.dial(ctx, port)
	if err != nil {
		return fmt.Errorf("port %d of pod %s: %w", port, s.pod().Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	go func() { // ends with the client's stream, which its owner closes after our return
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

// dial connects from the pod's network namespace: IPv4 first, as most programs listen.
func (s *sandbox) dial(ctx context.Context, port int32) (net.Conn, error) {
	var ns *os.File
	err := s.space.Do(func() (err error) {
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	type answer struct {
		conn net.Conn
		err  error
	}
	done := make(chan answer, 1)
	podnet.OnOwnThread(func() {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- answer{nil, fmt.Errorf("join the pod's network: %w", err)}
			return
		}
		d := net.Dialer{Timeout: dialTime}
		conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
		if errors.Is(err, unix.ECONNREFUSED) {
			if six, err6 := d.DialContext(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(int(port)))); err6 == nil {
				conn, err = six, nil
			}
		}
		done <- answer{conn, err}
	})
	a := <-done
	return a.conn, a.err
}
