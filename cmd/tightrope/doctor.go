package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/clusters/doctor"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/operator"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	hostOptions
	format  string
	timeout time.Duration
	save    bool
	pods    pods.Options
	plugins []string // namespaces
}

func newDoctorCommand() *cobra.Command {
	o := &doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a cluster: does it enforce policies, how fast, and what is in the way",
		Long: "Doctor measures, on pods of its own in a namespace of its own, whether each node enforces NetworkPolicy in\n" +
			"each direction, how fast, and what becomes of connections that are open. It lists other kinds of policies, the\n" +
			"namespaces that would refuse a probe pod, and what old runs have left, with the commands that remove it. It needs\n" +
			"no controller and removes what it made. What it could not find out is \"not known\", with the reason.\n\n" +
			"With --save it keeps what it measured as EnforcementProfile cluster: rollouts read from it how long to wait for\n" +
			"the effect of a write, as long as nodes and network plugin are the same, and never that the cluster enforces.\n\n" +
			"Exit codes: 0 the cluster enforces, on every node that was measured; 2 what doctor made could not be\n" +
			"removed; 3 it does not, or that is not known, or --save could not store it; 4 bad input.",
		Example: "  tightrope doctor --cluster current\n  tightrope doctor --cluster current -o json\n  tightrope doctor --cluster current --save",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.hostOptions.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.format, "output", "o", "text", "text or json")
	f.DurationVar(&o.timeout, "timeout", doctor.DefaultWithin, "how long it may take")
	f.BoolVar(&o.save, "save", false, "store what was measured as the cluster's EnforcementProfile, from which rollouts read how long to wait")
	f.StringArrayVar(&o.plugins, "plugin-namespace", nil, "namespace in which to look for the network plugin's DaemonSet, besides kube-system and those of well-known plugins; repeatable")
	f.Func("image-pull-secret", "name of a pull secret that every namespace with a probe pod must have; repeatable", o.pods.SetPullSecret)
	f.Func("probe-node-selector", "labels, as key=value,key=value, of the nodes that probe pods may run on", o.pods.SetNodeSelector)
	f.Func("probe-toleration", "taint, as key=value:Effect, that probe pods tolerate; repeatable", o.pods.SetToleration)
	return cmd
}

func (o *doctorOptions) run(cmd *cobra.Command) (err error) {
	if err := o.hostOptions.check(cmd); err != nil {
		return &exitError{exitUsage, err}
	}
	if o.format != "text" && o.format != "json" {
		return &exitError{exitUsage, fmt.Errorf("--output %q is not known: use text or json", o.format)}
	}
	if o.timeout <= 0 {
		return &exitError{exitUsage, fmt.Errorf("--timeout=%v: use a time above 0", o.timeout)}
	}
	ctx, show := cmd.Context(), newScreen(cmd.ErrOrStderr()) // what is on stdout may be for a program
	c, err := o.open(ctx, show)
	if err != nil {
		return err
	}
	defer func() { err = worse(err, shut(ctx, c)) }()
	return o.examine(ctx, cmd, c, show)
}

func (o *doctorOptions) examine(ctx context.Context, cmd *cobra.Command, c clusters.Cluster, show *screen) error {
	images, _, err := o.deploy(c)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	o.pods.AgentImage, o.pods.TwinImage = images.Agent, images.Twin
	e, err := doctor.Examine(ctx, doctor.Options{
		Config: c.Config(), Cluster: c.Name(), Kubectl: commandLine(c.Kubectl()), Pods: o.pods, Within: o.timeout, Save: o.save, PluginNamespaces: o.plugins,
		Progress: func(s string) { show.line("doctor    %s", report.Sanitize(s)) },
		Kinds: func(ctx context.Context) ([]doctor.PolicyKind, []string, error) {
			served, unknown, err := operator.PolicyKinds(ctx, c.Config())
			var kinds []doctor.PolicyKind
			for _, k := range served {
				kinds = append(kinds, doctor.PolicyKind{Kind: k.Kind, Group: k.Group, Objects: k.Objects, Why: k.Why, Understood: k.Understood})
			}
			return kinds, unknown, err
		},
	})
	switch {
	case errors.Is(err, doctor.ErrLeft):
		err = &exitError{exitRollback, err}
	case errors.Is(err, doctor.ErrNotSaved):
		err = &exitError{exitInconclusive, err}
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, fmt.Errorf("%w: nothing was found out, and what doctor made is gone", context.Cause(ctx))}
	case err != nil:
		return &exitError{exitInconclusive, err}
	}
	if e == nil {
		return err
	}
	var write error
	if o.format == "json" {
		write = writeJSON(cmd.OutOrStdout(), examination{document{outputVersion, "Examination", []string{}}, *e})
	} else {
		write = doctor.WriteText(cmd.OutOrStdout(), e, report.SanitizeParagraph)
	}
	switch {
	case err != nil:
		return errors.Join(err, write)
	case write != nil || !e.Enforces:
		return &exitError{exitInconclusive, write}
	}
	return nil
}
