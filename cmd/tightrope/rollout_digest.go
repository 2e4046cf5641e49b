package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/rollout/steer"
)

func newRolloutDigestCommand() *cobra.Command {
	var t target
	var files []string
	c := &cobra.Command{
		Use:   "digest (NAME | -f FILE...)",
		Short: "Print the digests of the suites and policies that a rollout names",
		Long: "Digest prints what a rollout's spec says of its suites and its ConfigMap once it states their digests:\n" +
			"of a rollout in the cluster, as these are now, or of files, without a cluster. A run refuses a suite or a\n" +
			"ConfigMap with another digest than the rollout states. Look at what was changed before you state a new one.",
		Example: "  tightrope rollout digest -f suite.yaml -f rollout.yaml\n" +
			"  tightrope rollout digest gateway-lockdown -n ai",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (len(files) > 0) {
				return &exitError{exitUsage, errors.New("give the name of a rollout, or -f with the files of one")}
			}
			pins, err := t.pins(c, args, files)
			if err != nil {
				return steerError(c.Context(), err)
			}
			for _, p := range pins {
				for _, line := range spelled(p) {
					say(c.OutOrStdout(), "%s", line)
				}
			}
			return nil
		},
	}
	t.flags(c)
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or directory of manifests, or - for standard input; repeatable")
	return c
}

func (t *target) pins(c *cobra.Command, args, files []string) ([]steer.Pins, error) {
	if len(args) == 0 {
		namespace, err := t.place()
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		in, err := steer.Read(files, c.InOrStdin(), namespace, t.namespace != "")
		if err != nil {
			return nil, err
		}
		return in.Pins()
	}
	s, f, err := t.find(c.Context(), args[0])
	if err == nil && f.Rollout == nil {
		err = fmt.Errorf("%w: the rollout of run %s is gone", steer.ErrNotFound, f.Run.Name)
	}
	if err != nil {
		return nil, err
	}
	pins, err := s.Pins(c.Context(), f.Rollout)
	return []steer.Pins{pins}, err
}

// spelled is how a rollout states its digests, as lines of YAML to be put into its spec.
func spelled(p steer.Pins) []string {
	lines := []string{"# of rollout " + p.Rollout}
	if cm := p.ConfigMap; cm != nil {
		lines = append(lines, "policies:", fmt.Sprintf("  configMapRef: {name: %q, digest: %q}", cm.Name, cm.Digest))
	}
	lines = append(lines, "suites:")
	for _, suite := range p.Suites {
		lines = append(lines, fmt.Sprintf("- {name: %q, digest: %q}", suite.Name, suite.Digest))
	}
	return lines
}
