// Command crowd is the program of the benchmark's pods. It is a small one: what a
// program needs to start would be counted as the lab's.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	programs := map[string]func(args []string) error{"serve": serve, "reach": reach, "watch": watch}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "crowd: want serve, reach or watch")
		os.Exit(1)
	}
	if err := programs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	servedPort = "7000"
	// silence is how long an answer may take before an attempt counts as blocked.
	// It delays the news, not the time that is told.
	silence = 500 * time.Millisecond
)

// serve accepts every connection and waits for its end.
func serve([]string) error {
	l, err := net.Listen("tcp4", ":"+servedPort)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}()
	}
}

// ask makes one attempt. It ends it with a reset, so that the port is free at once,
// and none is in use twice: an established connection would answer for a policy.
func ask(address string) bool {
	conn, err := net.DialTimeout("tcp4", address, silence)
	if err != nil {
		return false
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	return true
}

// reach returns when every address has answered.
func reach(addresses []string) error {
	give := time.Now().Add(30 * time.Second)
	for _, a := range addresses {
		for !ask(net.JoinHostPort(a, servedPort)) {
			if time.Now().After(give) {
				return fmt.Errorf("%s does not answer", a)
			}
		}
	}
	return nil
}

// watch takes an interval and NAME=ADDRESS, and prints when each address
// begins to answer and when it stops: the time of the first attempt that went
// the new way, in nanoseconds of the machine's clock.
func watch(args []string) error {
	every, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, target := range args[1:] {
		name, address, _ := strings.Cut(target, "=")
		w := &watched{name: name}
		wg.Go(func() {
			for range time.Tick(every) {
				go func() {
					sent := time.Now()
					w.note(sent, ask(net.JoinHostPort(address, servedPort)))
				}()
			}
		})
	}
	wg.Wait()
	return nil
}

// watched is one address as the attempts at it have found it.
type watched struct {
	name string
	mu   sync.Mutex
	open bool
	last time.Time // when the newest answered attempt was sent
	shut time.Time // when the first attempt of the current silence was sent
}

// note sorts one attempt in. Attempts end in another order than they began: an
// unanswered one is older news than the answers that came meanwhile.
func (w *watched) note(sent time.Time, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case answered && !w.open && sent.After(w.shut):
		w.open, w.last = true, sent
		fmt.Println(w.name, "open", sent.UnixNano())
	case answered && sent.After(w.last):
		w.last = sent
	case !answered && w.open && sent.After(w.last):
		w.open, w.shut = false, sent
		fmt.Println(w.name, "shut", sent.UnixNano())
	}
}
