package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// explainUsage makes a command and all below it answer a usage error with what
// is wrong and where to read on. cobra itself prints the help of a group and
// succeeds when its sub-command is missing or misspelt, and a CI job would take
// that for a pass.
func explainUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return seeHelp(c, err) })
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return seeHelp(c, err)
			}
			return nil
		}
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args, c.RunE = cobra.ArbitraryArgs, wantSubcommand
	}
	for _, sub := range c.Commands() {
		explainUsage(sub)
	}
}

// wantSubcommand is what a group of commands does when it is run itself.
func wantSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		_ = c.Help()
		return seeHelp(c, fmt.Errorf("%s: no command was given", c.CommandPath()))
	}
	c.SuggestionsMinimumDistance = 2
	text := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return seeHelp(c, errors.New(text))
}

func seeHelp(c *cobra.Command, err error) error {
	return &exitError{exitUsage, fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
}

// complaints are the lines to print about an error: one, or one for each problem
// of a scenario's file, of manifests or of a suite. Whatever is quoted in them is safe to print.
func complaints(err error) []string {
	lines := []string{err.Error()}
	_, scenario := errors.AsType[scenarios.Problems](err)
	_, input := errors.AsType[*manifest.Error](err)
	_, many := errors.AsType[reasons](err)
	if scenario || input || many {
		lines = strings.Split(err.Error(), "\n") // none has a line break of its own
	}
	for i := range lines {
		lines[i] = report.SanitizeParagraph(lines[i])
	}
	return lines
}
