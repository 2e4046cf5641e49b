package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// leftoversWithin bounds how long it may take to see what was left.
const leftoversWithin = 30 * time.Second

// mayRun looks, before the first scenario writes anything, whether something of
// somebody else's is in the way of any of them.
func (o *runOptions) mayRun(ctx context.Context, list []*scenarios.Scenario, c clusters.Cluster) error {
	if c.Can().Own {
		return nil
	}
	_, o.installed, _ = install.Installed(ctx, c.Config()) // Check says what went wrong
	options, err := o.scenario(c, nil)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := scenarios.Check(ctx, s, options); err != nil {
			return noReport(ctx, s.Metadata.Name, err)
		}
	}
	return nil
}

// tellLeftovers says what the scenarios left on a cluster that stays, and how to
// remove it: also after an interruption.
func (o *runOptions) tellLeftovers(ctx context.Context, list []*scenarios.Scenario, c clusters.Cluster, show *screen) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), leftoversWithin)
	defer stop()
	left, err := scenarios.Leftovers(ctx, c.Config(), list, o.installed)
	if err != nil {
		show.mind(fmt.Errorf("what is left on %s could not be read: %w", c.Name(), err))
	}
	if len(left) == 0 {
		return
	}
	var what, commands []string
	for _, l := range left {
		what = append(what, "  "+report.Sanitize(l.What))
		commands = append(commands, "  "+commandLine(c.Kubectl())+" "+report.Sanitize(strings.Join(l.Remove, " ")))
	}
	fmt.Fprintf(show.out, "\nLeft on cluster %s:\n%s\nRemove it with:\n%s\n", report.Sanitize(c.Name()), strings.Join(what, "\n"), strings.Join(commands, "\n"))
}
