// Command standin runs one stand-in AI service (package scenarios/standin).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tightrope-dev/tightrope/catalog"
	"github.com/tightrope-dev/tightrope/scenarios/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run exits 0 when it was told to stop, 1 when a port could not be served, and
// 4 for bad input.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	config, err := parse(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "standin:", err)
		return 4
	}
	s, err := standin.New(config, standin.Options{Log: log})
	if err != nil {
		fmt.Fprintln(stderr, "standin:", err)
		return 4
	}
	if err := s.Run(ctx); err != nil {
		log.Error("failed", "error", err)
		return 1
	}
	return 0
}

// parse reads the file first; flags add to it and win over it.
func parse(args []string, stderr io.Writer) (standin.Config, error) {
	fs := flag.NewFlagSet("standin", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var c standin.Config
	var calls []standin.Call
	file := fs.String("config", "", "YAML or JSON `file` with profile, calls and every")
	profile := fs.String("profile", "", "what to stand in for: "+strings.Join(catalog.Names(), ", "))
	every := fs.String("every", "", "pause between two calls to one target (default 500ms)")
	fs.Func("call", "a call to make, `profile/request@host:port`; may be repeated", func(text string) error {
		call, err := standin.ParseCall(text)
		calls = append(calls, call)
		return err
	})
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *file != "" {
		var err error
		if c, err = standin.ReadConfig(*file); err != nil {
			return c, err
		}
	}
	if *profile != "" {
		c.Profile = *profile
	}
	if *every != "" {
		c.Every = *every
	}
	c.Calls = append(c.Calls, calls...)
	return c, nil
}
