// Command predicted is the program of the pods whose connections were predicted:
// it answers on its ports, and it tries those of others.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// silence is how long an attempt may take before it counts as blocked.
const silence = 400 * time.Millisecond

func main() {
	run := serve
	if len(os.Args) > 1 && os.Args[1] == "ask" {
		run = ask
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve answers on every port of $TCP and $UDP, until it is ended.
func serve() error {
	failed := make(chan error)
	for _, port := range strings.Fields(os.Getenv("TCP")) {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}()
			}
		}()
	}
	for _, port := range strings.Fields(os.Getenv("UDP")) {
		l, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			return err
		}
		go func() { failed <- echo(l) }()
	}
	return <-failed
}

func echo(l net.PacketConn) error {
	b := make([]byte, 64)
	for {
		n, from, err := l.ReadFrom(b)
		if err == nil {
			_, err = l.WriteTo(b[:n], from)
		}
		if err != nil {
			return err
		}
	}
}

// ask reads lines of "protocol/address" separated by spaces, tries all
// of a line at once, and answers each line with one of "+" (reached) and "-"
// (blocked) for every address, or with what went wrong on our own side.
func ask() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		targets := strings.Fields(lines.Text())
		answers, problems := make([]string, len(targets)), make([]string, len(targets))
		var wg sync.WaitGroup
		for i, target := range targets {
			wg.Go(func() {
				protocol, address, _ := strings.Cut(target, "/")
				answers[i], problems[i] = attempt(protocol, address)
			})
		}
		wg.Wait()
		if i := slices.IndexFunc(problems, func(p string) bool { return p != "" }); i >= 0 {
			fmt.Println("problem:", targets[i], problems[i])
			continue
		}
		fmt.Println(strings.Join(answers, ""))
	}
	return lines.Err()
}

// attempt ends a connection with a reset, so that no later attempt meets it.
func attempt(protocol, address string) (answer, problem string) {
	conn, err := net.DialTimeout(strings.ToLower(protocol), address, silence)
	if err == nil {
		defer conn.Close()
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			return "+", ""
		}
		err = exchange(conn)
	}
	switch e, ok := err.(net.Error); {
	case err == nil:
		return "+", ""
	case ok && e.Timeout():
		return "-", ""
	}
	return "", err.Error()
}

func exchange(conn net.Conn) error {
	_, sent := conn.Write([]byte("?"))
	_ = conn.SetReadDeadline(time.Now().Add(silence))
	_, got := conn.Read(make([]byte, 1))
	return cmp.Or(sent, got)
}
