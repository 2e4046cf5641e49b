package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// netcat sends its input to a TCP or UDP port and prints what comes back, until
// nothing has come for the time of -w.
func netcat(args []string) error {
	f := flag.NewFlagSet("nc", flag.ContinueOnError)
	f.Bool("v", false, "")
	f.Bool("t", false, "")
	udp := f.Bool("u", false, "")
	wait := f.Int("w", 10, "seconds")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 2 {
		return errors.New("want HOST PORT")
	}
	network, patience := "tcp", time.Duration(*wait)*time.Second
	if *udp {
		network = "udp"
	}
	conn, err := net.DialTimeout(network, net.JoinHostPort(f.Arg(0), f.Arg(1)), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(os.Stderr, "Connection to %s port %s [%s] succeeded!\n", f.Arg(0), f.Arg(1), network)
	_, _ = io.Copy(conn, os.Stdin) // a server that does not read may have answered all the same
	b, heard := make([]byte, 64<<10), false
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(b)
		_, _ = os.Stdout.Write(b[:n])
		heard = heard || n > 0
		var late net.Error
		switch {
		case err == nil:
		case heard, errors.Is(err, io.EOF), errors.As(err, &late) && late.Timeout() && !*udp:
			return nil
		default:
			return err
		}
	}
}

// fetch is as much of curl and wget as gets a page by HTTP.
func fetch(args []string) error {
	f := flag.NewFlagSet("curl", flag.ContinueOnError)
	for _, quiet := range []string{"q", "s", "g", "qO-"} {
		f.Bool(quiet, false, "")
	}
	connect := f.Int("connect-timeout", 300, "seconds")
	whole := f.Int("max-time", 0, "seconds")
	f.IntVar(connect, "T", 300, "seconds")
	to := f.String("o", "", "file for the page")
	show := f.String("w", "", "what to print after it")
	if err := f.Parse(args); err != nil {
		return err
	}
	url := f.Arg(0)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	dialer := &net.Dialer{Timeout: time.Duration(*connect) * time.Second}
	client := &http.Client{Timeout: time.Duration(*whole) * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}}}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	out := io.Writer(os.Stdout)
	if *to != "" {
		file, err := os.Create(*to)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
	}
	_, err = io.Copy(out, answer.Body)
	fmt.Print(strings.ReplaceAll(*show, "%{http_code}", fmt.Sprint(answer.StatusCode)))
	return err
}
