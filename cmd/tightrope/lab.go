package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

// downDeadline bounds how long ending a lab may take; it takes tenths of a second.
const downDeadline = 30 * time.Second

func newLabCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "An embedded Kubernetes cluster with real packets, without root or Docker, on Linux",
	}
	var name string
	c.PersistentFlags().StringVar(&name, "name", lab.DefaultName, "which lab; several can be up at once")
	c.AddCommand(newLabUp(&name), newLabDown(&name), newLabStatus(&name), newLabKubeconfig(&name), newLabKubectl(&name), newLabCounters(&name),
		newLabFault(&name), newLabLogs(&name))
	return c
}

// labError gives an error of package lab its exit code: what was refused is bad
// input or a machine that cannot do it; a lab that broke proves nothing.
func labError(err error) error {
	if err == nil {
		return nil
	}
	code := exitInconclusive
	for _, refused := range []error{lab.ErrRefused, lab.ErrForbidden, lab.ErrNeedsLinux, lab.ErrNoLabd, lab.ErrNotUp, lab.ErrBadRequest} {
		if errors.Is(err, refused) {
			code = exitUsage
		}
	}
	return &exitError{code, logFirst(err, os.Stderr)}
}

// logFirst prints the log that an error of a broken lab carries, so that the
// error itself is a line, and the last one.
func logFirst(err error, w io.Writer) error {
	head, log, found := strings.Cut(err.Error(), ":\n")
	if !found {
		return err
	}
	for line := range strings.SplitSeq(log, "\n") {
		fmt.Fprintln(w, "  | "+report.Sanitize(line))
	}
	return errors.New(head + " is above")
}

type labUpOptions struct {
	lab.Options
	images     []string
	foreground bool
}

func newLabUp(name *string) *cobra.Command {
	var o labUpOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a lab and return when its nodes are Ready",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Name = *name
			return o.run(c)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "nodes", 2, "number of nodes; 0 means an API server and a controller manager only")
	f.StringVar(&o.Dataplane, "dataplane", "enforce", "how policies are enforced: enforce, ignore, or as established=cut,deny=reject,delay=200ms..2s")
	f.StringVar(&o.Families, "ip-families", "IPv4", "IPv4, IPv6, or IPv4,IPv6 for both")
	imageFlag(c, &o.images)
	f.StringVar(&o.ImageLayout, "image-layout", "", "OCI layout, as make images writes it: pods run its images, also by digest, instead of the programs beside labd")
	f.BoolVar(&o.foreground, "foreground", false, "stay, and end the lab with this process")
	f.StringVar(&o.Labd, "labd", "", "path of the lab's server, when it is not next to this program")
	return c
}

// imageFlag is that of the commands that bring up a lab.
func imageFlag(c *cobra.Command, images *[]string) {
	c.Flags().StringArrayVar(images, "image", nil,
		"NAME=PATH of a program of this machine that pods can run by that image name, arguments after a space; repeatable.\n"+
			"PATH may be a folder, an unpacked image, and then a program in it follows; arguments after -- are for pods that give none")
}

func (o *labUpOptions) run(c *cobra.Command) error {
	var err error
	if o.Images, err = lab.ParseImages(o.images); err != nil {
		return labError(err)
	}
	out := c.OutOrStdout()
	o.Progress = func(s lab.Step) { fmt.Fprintln(out, "  "+s.String()) }
	fmt.Fprintf(out, "lab %q: %d nodes, policies: %s\n", o.Name, o.Nodes, o.Dataplane)
	l, err := lab.Up(c.Context(), o.Options)
	if err != nil {
		return labError(err)
	}
	named := ""
	if o.Name != lab.DefaultName {
		named = " --name " + o.Name
	}
	fmt.Fprintf(out, "the lab is up\n\n  tightrope lab kubectl%s -- get nodes,pods -A\n  export KUBECONFIG=%s\n", named, l.Kubeconfig())
	if !o.foreground {
		fmt.Fprintf(out, "  tightrope lab down%s\n", named)
		return labError(l.Detach())
	}
	fmt.Fprintln(out, "\nCtrl-C ends it")
	return stay(c, l)
}

// stay holds a lab until this process is told to end, or the lab ends by itself.
func stay(c *cobra.Command, l *lab.Lab) error {
	select {
	case <-l.Done():
		err := l.Err()
		if err == nil {
			fmt.Fprintln(c.OutOrStdout(), "the lab was ended from elsewhere")
			return nil
		}
		return labError(fmt.Errorf("the lab ended by itself: %w", err))
	case <-c.Context().Done():
	}
	ctx, stop := deadline(c, downDeadline)
	defer stop()
	if err := l.Down(ctx); err != nil {
		return labError(err)
	}
	return nil
}

func newLabDown(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab; nothing of it is left",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := deadline(c, downDeadline)
			defer stop()
			if err := lab.Down(ctx, *name); err != nil {
				lab.Sweep()
				return labError(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "lab %q is down\n", *name)
			return nil
		},
	}
}

func newLabKubeconfig(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the lab's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := lab.Find(*name)
			if err != nil {
				return labError(err)
			}
			fmt.Fprintln(c.OutOrStdout(), s.Kubeconfig)
			return nil
		},
	}
}

func newLabKubectl(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl -- ARGS…",
		Short: "Run kubectl, which need not be installed, on the lab",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := lab.Find(*name)
			if err != nil {
				return labError(err)
			}
			env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
			env = append(env, "KUBECONFIG="+s.Kubeconfig)
			err = syscall.Exec(s.Labd, append([]string{"labd", "kubectl"}, args...), env)
			return &exitError{exitUsage, fmt.Errorf("run %s: %w", s.Labd, err)}
		},
	}
}
