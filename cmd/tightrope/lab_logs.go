package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

func newLabLogs(name *string) *cobra.Command {
	var o lab.LogOptions
	c := &cobra.Command{
		Use:   "logs [COMPONENT]",
		Short: "Print what a component of a lab said; without one, which there are",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Tail < 0 {
				return &exitError{exitUsage, fmt.Errorf("--tail=%d: a number of bytes", o.Tail)}
			}
			if len(args) == 0 {
				return labError(printLogs(c, *name))
			}
			o.Component = args[0]
			return labError(copyLog(c, *name, o))
		},
	}
	c.Flags().Int64Var(&o.Tail, "tail", 0, "only so many bytes at the end; 0 means all")
	c.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on until the command or the lab is ended")
	return c
}

func printLogs(c *cobra.Command, name string) error {
	ctx, stop := context.WithTimeout(c.Context(), labCallDeadline)
	defer stop()
	all, err := lab.Logs(ctx, name)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COMPONENT\tBYTES")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%d\n", report.Sanitize(l.Component), l.Bytes)
	}
	return w.Flush()
}

// copyLog cleans each line: pods can make components say what they like.
func copyLog(c *cobra.Command, name string, o lab.LogOptions) error {
	from, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := lab.CopyLog(c.Context(), name, o, to)
		to.Close()
		done <- err
	}()
	lines := bufio.NewReader(from)
	var err error
	for err == nil {
		var line string
		if line, err = lines.ReadString('\n'); line != "" {
			fmt.Fprintln(c.OutOrStdout(), report.Sanitize(line))
		}
	}
	return <-done
}
