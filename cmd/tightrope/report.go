package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/report"
)

func newReportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "report",
		Short: "Show reports, and make pages of them",
		Long:  "Report reads a report.json, the ConfigMap that a run leaves (kubectl get configmap RUN -o yaml), or a run of a cluster.",
	}
	c.AddCommand(newReportShowCommand(), newReportRenderCommand())
	return c
}

func newReportShowCommand() *cobra.Command {
	t := target{}
	c := &cobra.Command{
		Use:     "show FILE|NAME",
		Short:   "Show a report on the terminal",
		Long:    "Show reads a report from a file (- is standard input), or that of a rollout or run of a cluster.",
		Example: "  tightrope report show reports/report.json\n  tightrope report show gateway-lockdown -n ai",
		Args:    one,
		RunE: func(c *cobra.Command, args []string) error {
			rep, err := t.reportOf(c, args[0])
			if err != nil {
				return err
			}
			return shown(c, rep)
		},
	}
	t.flags(c)
	return c
}

func newReportRenderCommand() *cobra.Command {
	file, to := "", ""
	c := &cobra.Command{
		Use:     "render -f FILE --to DIR",
		Short:   "Make every form of a report from its file",
		Long:    "Render writes report.html, report.md, junit.xml and report.json from a report.json, or from the ConfigMap that a\nrun leaves.",
		Example: "  kubectl -n ai get configmap gateway-lockdown-3f9c1a2b -o json | tightrope report render -f - --to out/",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" || to == "" {
				return errors.New("give -f with the report, and --to with a directory to write to")
			}
			rep, err := reportIn(file, c.InOrStdin())
			if err != nil {
				return err
			}
			return filed(c, rep, to)
		},
	}
	c.Flags().StringVarP(&file, "filename", "f", "", "report.json, or a ConfigMap as JSON or YAML; - for standard input")
	c.Flags().StringVar(&to, "to", "", "directory to write to; it is made")
	return c
}

func newRolloutReportCommand() *cobra.Command {
	t, to := target{}, ""
	c := &cobra.Command{
		Use:   "report NAME",
		Short: "Show what a run has proved, or write it as files",
		Long: "Report reads the report of a run, as its ConfigMap has it, and refuses one that somebody edited after the\n" +
			"run had ended. With -o it writes report.html, report.md, junit.xml and report.json.",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			rep, err := t.stored(c.Context(), args[0])
			switch {
			case err != nil:
				return err
			case to != "":
				return filed(c, rep, to)
			}
			return shown(c, rep)
		},
	}
	t.flags(c)
	c.Flags().StringVarP(&to, "output", "o", "", "directory to write the report to, in every form; empty: show it")
	return c
}

// reportOf reads a report from a file, or from the cluster where there is no such file.
func (t *target) reportOf(c *cobra.Command, name string) (*report.Report, error) {
	isFile := name == "-" || strings.ContainsAny(name, `/\.`)
	if _, err := os.Stat(name); err == nil {
		isFile = true
	}
	if isFile {
		return reportIn(name, c.InOrStdin())
	}
	return t.stored(c.Context(), name)
}

// stored is the report of a run of the cluster.
func (t *target) stored(ctx context.Context, name string) (*report.Report, error) {
	s, f, err := t.run(ctx, name)
	if err != nil {
		return nil, steerError(ctx, err)
	}
	rep, err := s.Report(ctx, f.Run)
	if err != nil {
		return nil, steerError(ctx, err)
	}
	rep.Cluster = t.cluster
	return rep, nil
}

// reportIn reads a file: a report, or a ConfigMap that holds one.
func reportIn(file string, stdin io.Reader) (*report.Report, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("report %s: there is no such file", file)
		} else if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, report.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", file, err)
	}
	if len(raw) > report.MaxBytes {
		return nil, fmt.Errorf("report %s is longer than %d bytes: it is none of ours", file, report.MaxBytes)
	}
	rep, err := parseReport(raw)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", file, err)
	}
	return rep, nil
}

// parseReport tells the two apart by their kind: a report has none.
func parseReport(raw []byte) (*report.Report, error) {
	var cm corev1.ConfigMap
	if err := yaml.Unmarshal(raw, &cm); err == nil && cm.Kind == "ConfigMap" {
		return report.Published(cm.Data, cm.BinaryData)
	}
	return report.Parse(raw)
}

func shown(c *cobra.Command, rep *report.Report) error {
	if err := report.WriteText(c.OutOrStdout(), rep, newScreen(c.OutOrStdout()).colour); err != nil {
		return &exitError{exitInconclusive, err}
	}
	return nil
}

// filed writes every form of a report, and where they are.
func filed(c *cobra.Command, rep *report.Report, folder string) error {
	if err := makeFolder(folder); err != nil {
		return fmt.Errorf("directory %s cannot be used: %w", folder, err)
	}
	if err := writeReports(folder, rep); err != nil {
		return &exitError{exitInconclusive, err}
	}
	return report.WriteWhere(c.OutOrStdout(), folder)
}
