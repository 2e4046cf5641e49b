package lab_test

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

// The ports on which every pod of the prediction answers.
var (
	predictedTCP = []string{"8080", "8081", "9090"}
	predictedUDP = []string{"5353", "8080"}
)

// predictedSilence is how long an attempt may take before it counts as blocked.
const predictedSilence = 400 * time.Millisecond

// predictedServe answers on all its ports, until it is ended.
func predictedServe([]string) error {
	failed := make(chan error)
	for _, port := range predictedTCP {
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
	for _, port := range predictedUDP {
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

// predictedAsk reads lines of "protocol/address" separated by spaces, tries all
// of a line at once, and answers each line with one of "+" (reached) and "-"
// (blocked) for every address, or with what went wrong on our own side.
func predictedAsk([]string) error {
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
	conn, err := net.DialTimeout(strings.ToLower(protocol), address, predictedSilence)
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
	_ = conn.SetReadDeadline(time.Now().Add(predictedSilence))
	_, got := conn.Read(make([]byte, 1))
	return cmp.Or(sent, got)
}
