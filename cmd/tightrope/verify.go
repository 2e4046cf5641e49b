package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/deploy/apply"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/operator"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	hostOptions
	files   []string
	paths   []string
	apply   string
	report  string
	lasts   time.Duration
	timeout time.Duration
	pods    pods.Options
}

func newVerifyCommand() *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify -f SUITE [-f FILE]...",
		Short: "Try the paths of a suite once, on the policies as they are",
		Long: "Verify makes probe pods that stand for the identities of ConnectivitySuites, tries every path, and removes\n" +
			"them again. It needs no controller, and without --apply it changes nothing else. First it proves, in a\n" +
			"namespace of its own and on every node where a probe pod or a target runs, that the cluster enforces\n" +
			"NetworkPolicy: where it does not, or where a target answers nobody, nothing is proved.\n\n" +
			"What --apply applies to --cluster current stays there, also after Ctrl-C and whatever was found. Its policies\n" +
			"are in force for every pod at once, without stages and with nobody to take them back: tightrope rollout\n" +
			"apply is for clusters that somebody works on.\n\n" +
			"Exit codes: 0 every critical path holds; 1 one is cut, or leaks; 2 what verify made could not be removed;\n" +
			"3 nothing was proved, or not all: the cluster does not enforce, or a target is down; 4 bad input.",
		Example: "  tightrope verify -f suite.yaml --apply rendered/ --report out/\n" +
			"  tightrope verify -f suite.yaml --cluster current --path \"chat-api to gateway\"",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	o.hostOptions.register(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file or directory with ConnectivitySuites, or - for standard input; repeatable")
	f.StringArrayVar(&o.paths, "path", nil, "name of a path to try; repeatable; without it: all")
	f.StringVar(&o.apply, "apply", "", "directory of rendered manifests to apply first, such as helm template writes; on --cluster current they stay, and policies are in force")
	f.StringVar(&o.report, "report", "reports", "directory for the reports")
	f.DurationVar(&o.lasts, "for", 5*time.Second, "how long each path is tried")
	f.DurationVar(&o.timeout, "timeout", 3*time.Minute, "how long it may take in all")
	f.Func("image-pull-secret", "name of a pull secret of every namespace that gets a probe pod; repeatable", o.pods.SetPullSecret)
	f.Func("probe-node-selector", "labels, as key=value,key=value, of the nodes that probe pods may run on", o.pods.SetNodeSelector)
	f.Func("probe-toleration", "taint, as key=value:Effect, that probe pods tolerate; repeatable", o.pods.SetToleration)
	return cmd
}

// run checks all input before it brings up a cluster.
func (o *verifyOptions) run(cmd *cobra.Command) (err error) {
	suites, objects, err := o.input(cmd)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	ctx, show := cmd.Context(), newScreen(cmd.OutOrStdout())
	c, err := o.open(ctx, show)
	if err != nil {
		return err
	}
	defer func() { err = worse(err, shut(ctx, c)) }()
	if len(objects) > 0 {
		show.line("apply     %d objects of %s%s", len(objects), report.Sanitize(o.apply), o.staying(", which %s"))
		err := apply.Apply(ctx, c.Config(), objects, apply.Options{Progress: func(s string) { show.line("apply     %s", report.Sanitize(s)) }})
		if err != nil {
			return o.notVerified(ctx, err)
		}
	}
	return o.verify(ctx, c, suites, show)
}

// input reads everything that is named, and makes the folder of the reports.
func (o *verifyOptions) input(cmd *cobra.Command) ([]v1alpha1.ConnectivitySuite, []*unstructured.Unstructured, error) {
	if err := o.hostOptions.check(cmd); err != nil {
		return nil, nil, err
	}
	switch {
	case len(o.files) == 0:
		return nil, nil, errors.New("no suite was given: name its file with -f")
	case o.lasts <= 0 || o.timeout < o.lasts:
		return nil, nil, fmt.Errorf("--for=%v and --timeout=%v: use times above 0, and no longer a time for each path than in all", o.lasts, o.timeout)
	}
	set, err := manifest.Read(o.files, cmd.InOrStdin(), manifest.Options{})
	if err != nil {
		return nil, nil, err
	}
	var suites []v1alpha1.ConnectivitySuite
	for _, s := range set.Objects.Suites {
		suites = append(suites, *s.Object)
	}
	if len(suites) == 0 {
		return nil, nil, errors.New("no ConnectivitySuite is in the input")
	}
	var objects []*unstructured.Unstructured
	if o.apply != "" {
		if objects, err = apply.Read(o.apply); err != nil {
			return nil, nil, err
		}
	}
	if err := makeFolder(o.report); err != nil {
		return nil, nil, fmt.Errorf("report directory %s cannot be used: %w; choose another with --report", o.report, err)
	}
	return suites, objects, nil
}

// verify tries the paths on a cluster, writes the reports and says how it went.
func (o *verifyOptions) verify(ctx context.Context, c clusters.Cluster, suites []v1alpha1.ConnectivitySuite, show *screen) error {
	images, _, err := o.deploy(c)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	o.pods.AgentImage, o.pods.TwinImage = images.Agent, images.Twin
	rep, err := operator.Verify(ctx, operator.Verification{
		Config: c.Config(), Cluster: c.Name(), Suites: suites, Paths: o.paths, Pods: o.pods, For: o.lasts, Within: o.timeout,
		Progress: func(s string) { show.line("verify    %s", report.Sanitize(s)) },
	})
	if rep == nil {
		return o.notVerified(ctx, err)
	}
	written := writeReports(o.report, rep)
	show.result(rep)
	if written == nil {
		show.where(o.report)
	}
	switch code := report.ExitCode(rep); {
	case errors.Is(err, operator.ErrLeft):
		return &exitError{exitRollback, errors.Join(err, written)}
	case written != nil:
		return &exitError{exitInconclusive, written}
	case code != exitOK:
		return &exitError{code, nil}
	}
	return nil
}

// reasons are what is wrong with a suite, one a line.
type reasons []string

func (r reasons) Error() string { return strings.Join(r, "\n") }

// staying says, in the given words, of objects that were applied to a cluster which is
// not verify's own that they stay; empty: there are none.
func (o *verifyOptions) staying(format string) string {
	if o.apply == "" || o.cluster != "current" && !o.kind.Keep {
		return ""
	}
	return fmt.Sprintf(format, "stay on this cluster, policies among them in force")
}

// notVerified says what it means that nothing was tried.
func (o *verifyOptions) notVerified(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, operator.ErrLeft):
		return &exitError{exitRollback, err}
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, fmt.Errorf("%w: nothing was verified, and what verify made itself is gone%s", context.Cause(ctx), o.staying("; the objects of --apply %s"))}
	case len(operator.Refused(err)) > 0:
		return &exitError{exitUsage, reasons(operator.Refused(err))}
	case errors.Is(err, apply.ErrInput), apierrors.IsForbidden(err):
		return &exitError{exitUsage, err}
	}
	return &exitError{exitInconclusive, err}
}
