// Command twin is the process of a twin: a pod of ours that wears a target's
// labels and answers on its ports, so that ingress rules can be tried on it before
// they touch the target. It speaks HTTP on TCP ports and answers every datagram on
// UDP ports. Its answers carry a nonce, which shows that it wrote them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv("TWIN_NONCE"), os.Stderr)
	stop()
	os.Exit(code)
}

// run exits 0 when it was asked to stop, 1 when it cannot listen or serve, and 2
// when it was called wrongly.
func run(ctx context.Context, args []string, nonce string, stderr io.Writer) int {
	fs := flag.NewFlagSet("twin", flag.ContinueOnError)
	fs.SetOutput(stderr)
	listen := fs.String("listen", "", "`ports` to answer on, as in 8080/TCP,53/UDP")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	ports, err := parsePorts(*listen)
	if err == nil {
		err = checkNonce(nonce)
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("%q is no flag", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(stderr, "twin:", err)
		return 2
	}
	if err := serve(ctx, ports, nonce, func(port) {}); err != nil {
		fmt.Fprintln(stderr, "twin:", err)
		return 1
	}
	return 0
}
