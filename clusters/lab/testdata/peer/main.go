// Command peer is a pod of the tests: it echoes what it gets by TCP and UDP on
// port 4000, and tries, streams and counts on request, by HTTP on port 8080.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	go serveTCP()
	go serveUDP()
	http.HandleFunc("/try", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, try(r.FormValue("to"))) })
	http.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, lookup(r.FormValue("name"))) })
	http.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, count(r.FormValue("to"), r.FormValue("n")))
	})
	http.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, open(r.FormValue("to"))) })
	http.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, stream.String()) })
	fail(http.ListenAndServe(":8080", nil))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func serveTCP() {
	l, err := net.Listen("tcp", ":4000")
	if err != nil {
		fail(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

func serveUDP() {
	u, err := net.ListenPacket("udp", ":4000")
	if err != nil {
		fail(err)
	}
	buf := make([]byte, 64)
	for {
		n, from, err := u.ReadFrom(buf)
		if err != nil {
			continue
		}
		_, _ = u.WriteTo(buf[:n], from)
	}
}

// try opens a connection and wants one echo.
func try(to string) string {
	c, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil {
		return name(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err = c.Write([]byte("x")); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if err != nil {
		return name(err)
	}
	return "reached"
}

func name(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return "prohibited"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

func lookup(name string) string {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	if _, err := (&net.Resolver{}).LookupHost(ctx, name); err != nil {
		return "unknown"
	}
	return "known"
}

// count sends n datagrams, one after the other's echo or a short silence, and
// says how many echoes came.
func count(to, n string) string {
	c, err := net.Dial("udp", to)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	times, _ := strconv.Atoi(n)
	came := 0
	for range times {
		_, _ = c.Write([]byte("x"))
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
		if _, err := c.Read(make([]byte, 64)); err == nil {
			came++
		}
	}
	return strconv.Itoa(came)
}

// stream is the one long connection: a byte every 10 ms, and its echoes.
var stream state

type state struct {
	mu   sync.Mutex
	last time.Time // when the last echo came
	err  error
}

func (s *state) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return fmt.Sprintf("%d %s", s.last.UnixMilli(), name(s.err))
	}
	return fmt.Sprintf("%d open", s.last.UnixMilli())
}

func open(to string) string {
	c, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil {
		return name(err)
	}
	stream.mu.Lock()
	stream.last, stream.err = time.Now(), nil
	stream.mu.Unlock()
	go func() {
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				stream.end(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	go func() {
		for {
			if _, err := c.Read(make([]byte, 64)); err != nil {
				stream.end(err)
				return
			}
			stream.mu.Lock()
			stream.last = time.Now()
			stream.mu.Unlock()
		}
	}()
	return "open"
}

func (s *state) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}
