package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/steer"
)

// approvalActions are what --action takes.
var approvalActions = []string{string(v1alpha1.ActionProceed), string(v1alpha1.ActionPromote), string(v1alpha1.ActionResume)}

type approveOptions struct {
	target
	want   steer.Approval
	action string
	dryRun bool
	output string
}

func newRolloutApproveCommand() *cobra.Command {
	o := &approveOptions{}
	c := &cobra.Command{
		Use:   "approve NAME",
		Short: "Let a run take one step forward, in your name",
		Long: "Approve makes a RolloutApproval of what the run is now: it counts for this run, this plan and this visit\n" +
			"of the stage, until it expires. No approval replaces a proof.\n\n" +
			"  Proceed  opens a gate of type Approval, or counts towards it\n" +
			"  Promote  leaves out the rest of the stage's minDuration\n" +
			"  Resume   puts a held run back into its stage once the leak is gone\n\n" +
			"Who thinks better of it deletes the object, while the run has not gone on. The right to approve is to create\n" +
			"rolloutapprovals.tightrope.dev: ClusterRole tightrope-approver.\n\n" +
			"Exit codes: 0 created; 3 the cluster does not answer; 4 the run is not where it could be approved, bad input,\nor a right is missing.",
		Example: "  tightrope rollout status gateway-lockdown -n ai --for=approval\n" +
			"  tightrope rollout approve gateway-lockdown -n ai --stage all --reason CHG-1234",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			return steerError(c.Context(), o.run(c, args[0]))
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.action, "action", "Proceed", "Proceed, Promote or Resume")
	f.StringVar(&o.want.Stage, "stage", "", "refuse unless the run is in this stage")
	f.StringVar(&o.want.Gate, "gate", "", "gate to open, where the stage has several")
	f.StringVar(&o.want.Reason, "reason", "", "why, for the reader of the report")
	f.DurationVar(&o.want.Expires, "expires", time.Hour, "how long the approval counts")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be approved, and create nothing")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml: the RolloutApproval")
	return c
}

func (o *approveOptions) run(c *cobra.Command, name string) error {
	switch {
	case !slices.Contains(approvalActions, o.action):
		return &exitError{exitUsage, fmt.Errorf("--action=%s: use %s%s", strict.Show(o.action), strict.OneOf(approvalActions), strict.DidYouMean(o.action, approvalActions))}
	case o.output != "" && o.output != "json" && o.output != "yaml":
		return &exitError{exitUsage, fmt.Errorf("--output=%q: json or yaml", o.output)}
	case o.want.Gate != "" && o.action != string(v1alpha1.ActionProceed):
		return &exitError{exitUsage, fmt.Errorf("--gate names what Proceed opens: leave it out with --action %s", o.action)}
	case o.want.Expires <= 0:
		return &exitError{exitUsage, fmt.Errorf("--expires=%v: use a time above 0, such as 1h", o.want.Expires)}
	case len(o.want.Reason) > 1024:
		return &exitError{exitUsage, fmt.Errorf("--reason has %d bytes: use at most 1024", len(o.want.Reason))}
	}
	o.want.Action = v1alpha1.ApprovalAction(o.action)
	ctx := c.Context()
	s, f, err := o.target.run(ctx, name)
	if err != nil {
		return err
	}
	a, err := s.Approval(ctx, f, o.want)
	if err != nil {
		return err
	}
	if o.output == "" {
		showApproval(c.OutOrStdout(), f.Run, a)
	}
	if !o.dryRun {
		if err := s.Approve(ctx, a); err != nil {
			return err
		}
		a.APIVersion, a.Kind = v1alpha1.GroupVersion.String(), "RolloutApproval"
	}
	return o.told(c.OutOrStdout(), f.Run, a)
}

// showApproval says what is approved.
func showApproval(w io.Writer, run *v1alpha1.PolicyRolloutRun, a *v1alpha1.RolloutApproval) {
	does := map[v1alpha1.ApprovalAction]string{
		v1alpha1.ActionProceed: "counts towards opening gate " + a.Spec.Gate,
		v1alpha1.ActionPromote: "leaves out the rest of the stage's minDuration; every required path must be proved all the same",
		v1alpha1.ActionResume:  "puts the run back into its stage, once the leak is gone and every required path is proved",
	}[a.Spec.Action]
	say(w, "run       %s/%s, in stage %s since %s", run.Namespace, run.Name, a.Spec.Stage, a.Spec.StageSince.UTC().Format(time.RFC3339))
	say(w, "plan      %s", a.Spec.PlanDigest)
	say(w, "now       %s: %s", cmp.Or(run.Status.Cause, string(run.Status.Phase)), run.Status.Message)
	say(w, "action    %s: %s", a.Spec.Action, does)
	say(w, "approver  %s", a.Spec.Approver)
	say(w, "expires   %s", a.Spec.ExpiresAt.UTC().Format(time.RFC3339))
	if a.Spec.Reason != "" {
		say(w, "reason    %s", a.Spec.Reason)
	}
}

// told ends the command: with what was created, and how to take it back.
func (o *approveOptions) told(w io.Writer, run *v1alpha1.PolicyRolloutRun, a *v1alpha1.RolloutApproval) error {
	switch {
	case o.output != "":
		return writeObject(w, o.output, a)
	case o.dryRun:
		say(w, "nothing was created (--dry-run)")
	default:
		say(w, "rolloutapproval.tightrope.dev/%s created; to take it back while run %s has not gone on: kubectl -n %s delete rolloutapproval %s", a.Name, run.Name, a.Namespace, a.Name)
	}
	return nil
}
