package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/report"
)

func newReportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "report",
		Short: "Show reports, make pages of them, and verify them",
		Long:  "Report reads a report.json, the ConfigMap that a run leaves (kubectl get configmap RUN -o yaml), or a run of a cluster.",
	}
	c.AddCommand(newReportShowCommand(), newReportRenderCommand(), newReportVerifyCommand())
	return c
}

func newReportShowCommand() *cobra.Command {
	t, file := target{}, ""
	c := &cobra.Command{
		Use:   "show [-f] FILE|NAME",
		Short: "Show a report on the terminal",
		Long: "Show reads a report from a file (- is standard input), or that of a rollout or run of a cluster. What has a\n" +
			"slash in it, or ends with .json or .yaml, is a file. -f says that it is one, and -n that it is none.\n\n" +
			"The digest in the status of a run that is over says whether somebody edited its report. Nothing says that\n" +
			"of a file, or of a run that goes on: then it is not verified, and the last line says so.",
		Example: "  tightrope report show reports/report.json\n  tightrope report show gateway-lockdown -n ai",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, isFile, err := t.meant(file, args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			rep, unverified := (*report.Report)(nil), unverifiedFile
			if isFile {
				rep, err = reportIn(name, c.InOrStdin())
			} else {
				rep, unverified, err = t.stored(c.Context(), name)
			}
			if err != nil {
				return err
			}
			return shown(c, rep, unverified)
		},
	}
	t.flags(c)
	c.Flags().StringVarP(&file, "filename", "f", "", "report.json, or a ConfigMap as JSON or YAML; - for standard input")
	return c
}

// unverifiedFile says why the report in a file is not verified.
const unverifiedFile = "a file names no digest that its report could be held against; tightrope report verify checks it by the evidence beside it, and tightrope rollout report NAME checks that of a run"

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
			return filed(c, rep, to, unverifiedFile)
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
			"run had ended. While a run goes on nobody can tell, and the last line says that the report is not verified.\n" +
			"With -o it writes report.html, report.md, junit.xml and report.json, and evidence.json, by which tightrope\n" +
			"report verify checks the report.",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			rep, unverified, err := t.stored(c.Context(), args[0])
			switch {
			case err != nil:
				return err
			case to != "":
				return errors.Join(filed(c, rep, to, unverified), t.fileEvidence(c.Context(), c.OutOrStdout(), args[0], to))
			}
			return shown(c, rep, unverified)
		},
	}
	t.flags(c)
	c.Flags().StringVarP(&to, "output", "o", "", "directory to write the report to, in every form; empty: show it")
	return c
}

// meant is the file or the name that the arguments mean. What could be either is for
// the caller to decide: a file of that name must not stand for a run.
func (t *target) meant(file string, args []string) (name string, isFile bool, err error) {
	inCluster := t.namespace != "" || t.context != "" || t.kubeconfig != ""
	switch {
	case file != "" && (len(args) > 0 || inCluster):
		return "", false, errors.New("-f names a file, and nothing of a cluster goes with it: leave the name, -n, --context and --kubeconfig out, or -f")
	case file != "":
		return file, true, nil
	case len(args) == 0:
		return "", false, errors.New("give a file, or the name of one rollout or run")
	}
	name = args[0]
	switch ext := filepath.Ext(name); {
	case inCluster:
		return name, false, nil
	case name == "-", strings.ContainsAny(name, `/\`), ext == ".json", ext == ".yaml", ext == ".yml":
		return name, true, nil
	}
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return "", false, fmt.Errorf("%s is a file, and may be the name of a rollout: say -f %s for the file, or -n NAMESPACE for the rollout", name, quoted(name))
	}
	return name, false, nil
}

// fileEvidence writes the evidence of a run to a folder, and says so.
func (t *target) fileEvidence(ctx context.Context, out io.Writer, name, folder string) error {
	s, f, err := t.run(ctx, name)
	if err != nil {
		return steerError(ctx, err)
	}
	b, err := s.Evidence(ctx, f.Run)
	if err != nil {
		return steerError(ctx, err)
	}
	if err := writeEvidence(folder, b); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %s for tightrope report verify, which makes the report from it again\n", evidenceFile)
	return nil
}

// stored is the report of a run of the cluster, and why it is not verified; empty: it is.
func (t *target) stored(ctx context.Context, name string) (*report.Report, string, error) {
	s, f, err := t.run(ctx, name)
	if err != nil {
		return nil, "", steerError(ctx, err)
	}
	rep, err := s.Report(ctx, f.Run)
	if err != nil {
		return nil, "", steerError(ctx, err)
	}
	rep.Cluster = t.cluster
	return rep, report.Unverified(f.Run), nil
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

// shown shows a report, and why it is not verified; empty: it is.
func shown(c *cobra.Command, rep *report.Report, unverified string) error {
	if err := report.WriteText(c.OutOrStdout(), rep, newScreen(c.OutOrStdout()).colour); err != nil {
		return &exitError{exitInconclusive, err}
	}
	notChecked(c.OutOrStdout(), unverified)
	return nil
}

// filed writes every form of a report, where they are, and why it is not verified;
// empty: it is.
func filed(c *cobra.Command, rep *report.Report, folder, unverified string) error {
	if err := makeFolder(folder); err != nil {
		return fmt.Errorf("directory %s cannot be used: %w", folder, err)
	}
	if err := writeReports(folder, rep); err != nil {
		return &exitError{exitInconclusive, err}
	}
	if err := report.WriteWhere(c.OutOrStdout(), folder); err != nil {
		return err
	}
	notChecked(c.OutOrStdout(), unverified)
	return nil
}

func notChecked(w io.Writer, unverified string) {
	if unverified != "" {
		say(w, "Not verified: %s", unverified)
	}
}
