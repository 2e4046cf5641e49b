package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

// faultDeadline bounds how long a fault may take to begin, and to be undone: a
// node that was killed starts anew.
const faultDeadline = 2 * time.Minute

// faultOptions are the flags that every fault has.
type faultOptions struct {
	lab   *string
	lasts time.Duration
}

func newLabFault(name *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "fault",
		Short: "Break something in a lab, as long as the command runs",
		Long: "A fault is in effect as long as its command runs, or for the time that --for gives. It is\n" +
			"undone when the command ends, however it ends: the lab notices when its holder is gone.",
	}
	o := &faultOptions{lab: name}
	c.AddCommand(newFaultTargets(o, lab.FaultKill, "Kill nodes, parts of the control plane or the DNS pods; at the end they start anew"),
		newFaultTargets(o, lab.FaultPause, "Freeze nodes or parts of the control plane"),
		newFaultPartition(o), newFaultLoss(o), newFaultAPI(o), newFaultDataplane(o), newFaultList(name))
	return c
}

// command is a fault's command; read makes the fault of its arguments.
func (o *faultOptions) command(use, short string, args cobra.PositionalArgs, read func(args []string) lab.Fault) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
		if o.lasts < 0 {
			return &exitError{exitUsage, fmt.Errorf("--for=%v: a time to come", o.lasts)}
		}
		return labError(o.hold(c, read(args)))
	}}
	c.Flags().DurationVar(&o.lasts, "for", 0, "undo the fault after this time; 0 means when the command is ended")
	return c
}

// hold keeps a fault until its time is over, this process is told to end, or the
// lab is gone.
func (o *faultOptions) hold(c *cobra.Command, f lab.Fault) error {
	ctx, stop := context.WithTimeoutCause(c.Context(), faultDeadline, fmt.Errorf("not in effect after %v", faultDeadline))
	h, err := lab.Hold(ctx, *o.lab, f)
	stop()
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	over := make(<-chan time.Time)
	until := "Ctrl-C ends it"
	if o.lasts > 0 {
		timer := time.NewTimer(o.lasts)
		defer timer.Stop()
		over, until = timer.C, "for "+o.lasts.String()
	}
	fmt.Fprintf(out, "fault %d: %s is in effect; %s\n", h.ID, report.Sanitize(h.Text), until)
	select {
	case <-h.Done():
	case <-over:
	case <-c.Context().Done():
	}
	ctx, stop = deadline(c, faultDeadline)
	defer stop()
	if err := h.Undo(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "fault %d is undone\n", h.ID)
	return nil
}

func newFaultTargets(o *faultOptions, kind, short string) *cobra.Command {
	return o.command(kind+" TARGET…", short, cobra.MinimumNArgs(1), func(args []string) lab.Fault {
		return lab.Fault{Kind: kind, Targets: args}
	})
}

func newFaultPartition(o *faultOptions) *cobra.Command {
	c := o.command("partition NODE[,NODE]…", "Part groups of nodes from each other", cobra.MinimumNArgs(1), func(args []string) lab.Fault {
		f := lab.Fault{Kind: lab.FaultPartition}
		for _, group := range args {
			f.Groups = append(f.Groups, strings.Split(group, ","))
		}
		return f
	})
	c.Long = "Each argument is a group. One group alone is parted from all other nodes. The name " + lab.FaultControlPlane + "\n" +
		"stands for the machine of the API server, which is in no group unless it is named."
	c.Example = "  tightrope lab fault partition node-1 node-2," + lab.FaultControlPlane
	return c
}

func newFaultLoss(o *faultOptions) *cobra.Command {
	f := lab.Fault{Kind: lab.FaultLoss}
	c := o.command("loss", "Drop a share of the packets between two sets of pods", cobra.NoArgs, func([]string) lab.Fault { return f })
	flags := c.Flags()
	flags.StringVar(&f.From.Selector, "from", "", "label selector of the pods on one side; empty means all")
	flags.StringVar(&f.From.Namespace, "from-namespace", "", "namespace of those pods; empty means all")
	flags.StringVar(&f.To.Selector, "to", "", "label selector of the pods on the other side; empty means all")
	flags.StringVar(&f.To.Namespace, "to-namespace", "", "namespace of those pods; empty means all")
	flags.Float64Var(&f.Percent, "percent", 0, "share of the packets, above 0 and at most 100")
	flags.BoolVar(&f.OneWay, "one-way", false, "only packets in the direction from --from to --to")
	return c
}

func newFaultAPI(o *faultOptions) *cobra.Command {
	f := lab.Fault{Kind: lab.FaultAPI}
	c := o.command("api", "Delay or fail one client's requests to the API server", cobra.NoArgs, func([]string) lab.Fault { return f })
	flags := c.Flags()
	flags.StringVar(&f.Rule.User, "user", "", "the client's name, as system:serviceaccount:NAMESPACE:NAME")
	flags.StringVar(&f.Rule.Agent, "agent", "", "how the client's User-Agent begins")
	flags.StringSliceVar(&f.Rule.Verbs, "verbs", nil, "get, list, watch, create, …; empty means all")
	flags.StringSliceVar(&f.Rule.Resources, "resources", nil, "pods, pods/log, …; empty means all")
	flags.DurationVar(&f.Rule.Delay, "delay", 0, "how much longer a request takes")
	flags.IntVar(&f.Rule.Status, "status", 0, "HTTP status that a request fails with")
	return c
}

func newFaultDataplane(o *faultOptions) *cobra.Command {
	f := lab.Fault{Kind: lab.FaultDataplane}
	c := o.command("dataplane PROFILE", "Give nodes' data planes another profile", cobra.ExactArgs(1), func(args []string) lab.Fault {
		f.Profile = args[0]
		return f
	})
	c.Flags().StringSliceVar(&f.Targets, "node", nil, "which nodes; empty means all")
	c.Example = "  tightrope lab fault dataplane established=cut,deny=reject,delay=200ms..2s --node node-1"
	return c
}

func newFaultList(name *string) *cobra.Command {
	var format string
	c := &cobra.Command{Use: "list", Short: "Print the faults that a lab is in", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if err := checkOutput(format); err != nil {
			return err
		}
		ctx, stop := context.WithTimeout(c.Context(), labCallDeadline)
		defer stop()
		held, err := lab.Faults(ctx, *name)
		if err != nil {
			return labError(err)
		}
		if format == "json" {
			return writeJSON(c.OutOrStdout(), append([]lab.HeldFault{}, held...))
		}
		return printFaults(c.OutOrStdout(), held)
	}}
	outputFlag(c, &format)
	return c
}

func printFaults(out io.Writer, held []lab.HeldFault) error {
	if len(held) == 0 {
		_, err := fmt.Fprintln(out, "no fault")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSINCE\tFAULT\tSTATE")
	for _, h := range held {
		state := h.State
		if state == "" {
			state = "in effect"
		}
		fmt.Fprintf(w, "%d\t%v\t%s\t%s\n", h.ID, time.Since(h.Since).Round(time.Second), report.Sanitize(h.Text), report.Sanitize(state))
	}
	return errors.Join(w.Flush())
}
