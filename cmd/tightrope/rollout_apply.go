package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/steer"
)

// begunWithin bounds how long a controller may take to begin a run.
const begunWithin = time.Minute

type applyOptions struct {
	following
	files  []string
	wait   bool
	dryRun string
	force  bool
	output string
}

func newRolloutApplyCommand() *cobra.Command {
	o := &applyOptions{}
	c := &cobra.Command{
		Use:   "apply -f FILE...",
		Short: "Apply rollouts, with their suites and policies",
		Long: "Apply reads PolicyRollouts, ConnectivitySuites and the ConfigMaps that rollouts name, and checks all of\n" +
			"it, with the API server's own checks, before it writes anything. It applies on the server's side, and takes\n" +
			"over no field that somebody else owns. Other objects of the files are left to kubectl. Into a rollout that\n" +
			"names a service account it writes the digests of its suites and its ConfigMap. Of those that are in none of\n" +
			"the files it keeps the digests that the rollout has, and refuses others (see rollout digest).\n\n" +
			"With --wait it follows each run to its end. Ctrl-C ends the command; the runs go on.\n\n" +
			"Exit codes with --wait: 0 committed; 1 cut or leak; 2 rollback failed; 3 inconclusive, not over within\n" +
			"--timeout, tried before and so not now, or a run of another suite or ConfigMap; 4 bad input, or refused.",
		Example: "  tightrope rollout apply -f policies/ -f rollout.yaml\n" +
			"  tightrope rollout apply -f rollout.yaml --wait --report out/",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return steerError(c.Context(), o.apply(c))
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file or directory of manifests, or - for standard input; repeatable")
	f.BoolVar(&o.wait, "wait", false, "follow each run to its end")
	f.StringVar(&o.dryRun, "dry-run", "none", "none, or server: ask the API server what it would say, and store nothing")
	f.BoolVar(&o.force, "force-conflicts", false, "take over fields that somebody else owns, such as one who used kubectl apply")
	f.StringVarP(&o.output, "output", "o", "", "json, yaml or name: print the objects as they are applied")
	return c
}

func (o *applyOptions) check(c *cobra.Command) error {
	switch {
	case len(o.files) == 0:
		return errors.New("nothing to apply: give -f with a file, a directory, or - for standard input")
	case o.dryRun != "none" && o.dryRun != "server":
		return fmt.Errorf("--dry-run=%q: none or server", o.dryRun)
	case o.dryRun != "none" && o.wait:
		return errors.New("--wait has nothing to follow with --dry-run")
	case !slices.Contains([]string{"", "json", "yaml", "name"}, o.output):
		return fmt.Errorf("--output=%q: json, yaml or name", o.output)
	case o.output != "" && o.wait:
		return errors.New("-o prints objects, and --wait what becomes of them: choose one")
	}
	for _, name := range []string{"report", "timeout", "hold-timeout"} {
		if c.Flags().Changed(name) && !o.wait {
			return fmt.Errorf("--%s has no effect without --wait", name)
		}
	}
	return o.following.check()
}

// apply checks the files, applies them, and follows what that began.
func (o *applyOptions) apply(c *cobra.Command) error {
	if err := o.check(c); err != nil {
		return &exitError{exitUsage, err}
	}
	namespace, err := o.place()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	in, err := steer.Read(o.files, c.InOrStdin(), namespace, o.namespace != "")
	if err != nil {
		return err
	}
	for _, note := range in.Notes {
		fmt.Fprintf(c.ErrOrStderr(), "note: %s\n", report.Sanitize(note))
	}
	if o.wait && !slices.ContainsFunc(in.Objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == "PolicyRollout" }) {
		return &exitError{exitUsage, errors.New("--wait has nothing to follow: no PolicyRollout is in the files, and a suite or a ConfigMap by itself is not tried")}
	}
	if err := o.folders(in); err != nil {
		return &exitError{exitUsage, err}
	}
	ctx := c.Context()
	s, err := o.connect(ctx)
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	applied, err := s.Apply(ctx, in, steer.Applying{DryRun: o.dryRun == "server", Force: o.force, Told: func(u *unstructured.Unstructured) {
		if objects = append(objects, u); o.output == "" || o.output == "name" {
			o.told(c, u)
		}
	}})
	if err != nil {
		return err
	}
	if !o.wait {
		o.warn(c, s, applied)
	}
	if o.output == "json" || o.output == "yaml" {
		return o.print(c, objects)
	}
	if !o.wait {
		return nil
	}
	return o.await(ctx, s, applied, newScreen(c.OutOrStdout()))
}

// folders makes every report folder before anything is applied: a report that cannot
// be written is better known now.
func (o *applyOptions) folders(in *steer.Input) error {
	for _, u := range in.Objects {
		if u.GetKind() != "PolicyRollout" {
			continue
		}
		if _, err := o.folder(u.GetName()); err != nil {
			return err
		}
	}
	return nil
}

func (o *applyOptions) told(c *cobra.Command, u *unstructured.Unstructured) {
	name := strings.ToLower(u.GetKind())
	if group := u.GroupVersionKind().Group; group != "" {
		name += "." + group
	}
	name += "/" + u.GetName()
	switch {
	case o.output == "name":
	case o.dryRun == "server":
		name += " serverside-applied (server dry run)"
	default:
		name += " serverside-applied"
	}
	say(c.OutOrStdout(), "%s", name)
}

func (o *applyOptions) print(c *cobra.Command, objects []*unstructured.Unstructured) error {
	list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	for _, u := range objects {
		list.Items = append(list.Items, *u)
	}
	return writeObject(c.OutOrStdout(), o.output, list)
}

// warn tells whoever does not wait of a run that is not made anew for what was applied.
func (o *applyOptions) warn(c *cobra.Command, s *steer.Steerer, applied []steer.Applied) {
	for _, a := range applied {
		if a.Changed {
			continue
		}
		key := client.ObjectKeyFromObject(a.Rollout)
		if f, err := s.Find(c.Context(), key); err == nil && f.Run != nil && a.Differs(f.Run) != "" {
			fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", report.Sanitize(fmt.Sprintf("rollout %s is unchanged, and run %s does not try what was applied: %s; %s", key, f.Run.Name, a.Differs(f.Run), o.tryIt(f.Run))))
		}
	}
}

// tryIt says how what a run does not try is tried.
func (o *target) tryIt(run *v1alpha1.PolicyRolloutRun) string {
	switch phase := run.Status.Phase; {
	case phase == v1alpha1.PhaseCommitted:
		return "a committed run is not tried again: to roll other policies out, change the rollout as well, for one by another name for its ConfigMap; to try a suite on what is in force, use tightrope verify"
	case phase.Terminal():
		return "to try it: " + o.command("retry", run)
	}
	return fmt.Sprintf("to try it: %s, and then %s", o.command("abort", run), o.command("retry", run))
}

// await follows every rollout that was applied, one after the other, and returns the
// most serious exit code.
func (o *applyOptions) await(ctx context.Context, s *steer.Steerer, applied []steer.Applied, show *screen) (err error) {
	for _, a := range applied {
		if ctx.Err() != nil {
			return worse(err, &exitError{exitInterrupted, nil})
		}
		err = worse(err, steerError(ctx, o.awaitOne(ctx, s, a, show)))
	}
	return err
}

func (o *applyOptions) awaitOne(ctx context.Context, s *steer.Steerer, a steer.Applied, show *screen) error {
	ro := a.Rollout
	leavesRunning(ctx, fmt.Sprintf("rollout %s/%s is applied and goes on in the cluster; abort it with: tightrope rollout abort %s -n %s", ro.Namespace, ro.Name, ro.Name, ro.Namespace))
	limited, stop := within(ctx, begunWithin)
	run, err := s.Begun(limited, ro, 0)
	stop()
	if err != nil {
		return err
	}
	if !a.Changed && run.Status.Phase.Terminal() && !run.GoesOn() {
		other := a.Differs(run)
		if other != "" {
			other = ", and " + other
		}
		return &exitError{exitInconclusive, fmt.Errorf("rollout %s/%s is unchanged and was tried before, by run %s (%s)%s: nothing was tested now; %s",
			ro.Namespace, ro.Name, run.Name, run.Status.Phase, other, o.tryIt(run))}
	}
	o.differs = a.Differs
	return o.follow(ctx, s, run, show)
}
