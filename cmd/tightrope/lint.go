package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/verdict/lint"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

type lintOptions struct {
	source
	format     string
	fix, write bool
	suppressed bool
}

func newLintCommand() *cobra.Command {
	o := &lintOptions{source: source{callers: true}}
	c := &cobra.Command{
		Use:   "lint [-f DIR]",
		Short: "List the mistakes people make with NetworkPolicies, each with the fix",
		Long: "Lint reports each mistake: location, reason, fix. With --fix it prints the\n" +
			"corrected documents and the policies to add instead; with --write it writes them into their files, where every\n" +
			"other document, line and comment stays, and says what it leaves to you and why. Every file is checked\n" +
			"and prepared before the first is written. A finding that a policy's annotation suppresses is left out,\n" +
			"unless --suppressed asks for it. The policies of a PolicyRollout in the input are checked as if they\n" +
			"were applied; --with-rollout=false leaves them out.\n\n" +
			"Exits 0 without an error among the findings, 1 with one, 3 if no workload is in the input and so little\n" +
			"could be checked, and 4 for bad input. With --write, what was corrected does not count.",
		Example: "  tightrope lint -f manifests/\n  tightrope lint -f manifests/ --fix",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"text", "json", "sarif"}, o.format) {
				return &exitError{exitUsage, fmt.Errorf("--output=%q: text, json or sarif", o.format)}
			}
			if o.write && (len(o.files) == 0 || slices.Contains(o.files, "-")) {
				return &exitError{exitUsage, errors.New("--write writes into files: name them with -f")}
			}
			return o.lint(c)
		},
	}
	o.flags(c)
	o.rolloutFlag(c, true)
	c.Flags().StringVarP(&o.format, "output", "o", "text", "text, json, or sarif (SARIF 2.1.0, for code review)")
	c.Flags().BoolVar(&o.fix, "fix", false, "print the corrected documents, and the policies to add, instead of the findings")
	c.Flags().BoolVar(&o.write, "write", false, "write the corrected documents into their files")
	c.Flags().BoolVar(&o.suppressed, "suppressed", false, "list findings that an annotation suppresses, too")
	return c
}

func (o *lintOptions) lint(c *cobra.Command) error {
	set, err := o.checked(c)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if o.write {
		if err := writeCorrections(c.ErrOrStderr(), set); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--write: %w", err)}
		}
		if set, err = o.checked(c); err != nil { // what is left counts
			return &exitError{exitInconclusive, fmt.Errorf("after the correction: %w", err)}
		}
	}
	var blind bool
	o.unchecked, blind = unchecked(set)
	o.tell(c.ErrOrStderr(), set)
	findings := slices.DeleteFunc(lint.Check(set), func(f lint.Finding) bool { return f.Suppressed && !o.suppressed && o.format != "sarif" })
	var b bytes.Buffer
	switch {
	case o.format == "json":
		err = writeJSON(&b, lintReport{o.head("LintReport", set), findings})
	case o.format == "sarif":
		err = writeJSON(&b, lint.SARIF(findings, lint.SARIFOptions{Version: lab.Stamp, Notes: o.notes(set, true), Relative: relative, Fixes: lint.Replacements(set)}))
	case o.fix:
		printCorrections(&b, set)
		tellUncorrected(c.ErrOrStderr(), findings)
	default:
		writeFindings(&b, findings)
	}
	if err == nil {
		_, err = b.WriteTo(c.OutOrStdout())
	}
	if err != nil {
		return &exitError{exitInconclusive, err}
	}
	if slices.ContainsFunc(findings, func(f lint.Finding) bool { return f.Severity == lint.Error && !f.Suppressed }) {
		return &exitError{exitCut, nil}
	}
	if blind && !o.fix && !o.write { // those are asked for what they write
		return &exitError{exitInconclusive, nil}
	}
	return nil
}

// unchecked says what lint could not look at. It is blind where there are policies
// and nothing that they could be about: most mistakes show on pods only.
func unchecked(set *manifest.Set) (notes []string, blind bool) {
	policies := len(set.Objects.NetworkPolicies)
	for _, r := range set.Objects.Rollouts {
		policies += len(r.Candidates)
	}
	if policies > 0 && len(set.Pods) == 0 {
		blind = true
		notes = append(notes, "no workload is in the input, so what these policies do to pods is not checked, and without an error the exit code is 3: add the workloads with -f")
	}
	var other []string
	for _, f := range set.World.Foreign {
		where := "of every namespace"
		if f.Namespace != "" {
			where = "of namespace " + f.Namespace
		}
		other = append(other, fmt.Sprintf("%s (pods %s)", strings.TrimSpace(f.Kind+" "+strings.TrimPrefix(f.Namespace+"/"+f.Name, "/")), where))
	}
	if more := len(other) - 3; more > 0 {
		other = append(other[:3], fmt.Sprintf("%d more", more))
	}
	if len(other) > 0 {
		notes = append(notes, "what these policies of other kinds may allow or deny is not checked: "+strings.Join(other, ", "))
	}
	return notes, blind
}

// checked reads what lint checks.
func (o *lintOptions) checked(c *cobra.Command) (*manifest.Set, error) {
	use := manifest.ForPolicies
	if o.withRollout {
		use = manifest.ForLint
	}
	set, _, err := o.read(c, use)
	if err == nil && !o.withRollout {
		set = set.WithoutRollouts()
	}
	return set, err
}

// relative is the file's name from the working directory, if it is below it.
func relative(file string) string {
	here, err := os.Getwd()
	if err != nil || !filepath.IsAbs(file) {
		return file
	}
	if name, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(name) {
		return name
	}
	return file
}

// writeFindings lists findings under their files; those of a cluster first.
func writeFindings(w io.Writer, findings []lint.Finding) {
	file, counts := "", map[lint.Severity]int{}
	for i, f := range findings {
		counts[f.Severity]++
		if i > 0 {
			fmt.Fprintln(w)
		}
		if f.Position.File != file {
			file = f.Position.File
			fmt.Fprintf(w, "%s\n\n", report.Sanitize(file))
		}
		for _, line := range strings.Split(f.String(), "\n") {
			fmt.Fprintln(w, line[:len(line)-len(strings.TrimLeft(line, " "))]+report.SanitizeParagraph(strings.TrimSpace(line)))
		}
	}
	if len(findings) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s, %s, %s.\n", many(counts[lint.Error], "error"), many(counts[lint.Warning], "warning"), many(counts[lint.Info], "remark"))
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
