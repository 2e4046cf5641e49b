package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

type matrixOptions struct {
	source
	from, to     []string
	fromIP, toIP []string
	ports        []string
	namespace    []string
	by, format   string
	diff         []string
	set          *manifest.Set
	query        matrix.Query
	origin       string
}

func newMatrixCommand() *cobra.Command {
	o := &matrixOptions{}
	c := &cobra.Command{
		Use:   "matrix [-f DIR]",
		Short: "Say who can reach whom on which port",
		Long: "Matrix judges every pod against every pod, on the ports that the target's containers declare\n" +
			"or on those of --ports, from manifests or from a cluster. Nothing is sent and nothing is changed.\n\n" +
			"A target that declares no port, or not the one that was asked for by name, is Unknown and says so.\n" +
			"A pod and itself are a pair too: nothing can block it. A port that was asked for by name is shown\n" +
			"by name, every other one by number. Exits 0 whatever the verdicts, and 4 for bad input.",
		Example: "  tightrope matrix -f manifests/\n" +
			"  tightrope matrix -f manifests/ -o html > matrix.html\n" +
			"  tightrope matrix -f manifests/ --to ai/llm-gateway --from-ip 203.0.113.7\n" +
			"  tightrope matrix -f before/ --diff after/",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.prepare(c); err != nil {
				return &exitError{exitUsage, err}
			}
			return o.write(c)
		},
	}
	o.flags(c)
	o.rolloutFlag(c, false)
	f := c.Flags()
	f.StringSliceVar(&o.ports, "ports", nil, "ports to ask every target for, such as 80/TCP,serve/UDP; default: those its containers declare")
	f.StringArrayVar(&o.from, "from", nil, "sources: NAMESPACE, NAMESPACE/POD, NAMESPACE/WORKLOAD or KIND/NAMESPACE/NAME; repeatable; default: every pod")
	f.StringArrayVar(&o.to, "to", nil, "targets, named like sources; repeatable; default: every pod")
	f.StringArrayVarP(&o.namespace, "namespace", "n", nil, "only sources and targets of this namespace; repeatable")
	f.StringArrayVar(&o.fromIP, "from-ip", nil, "an address outside the cluster as one more source; repeatable")
	f.StringArrayVar(&o.toIP, "to-ip", nil, "an address outside the cluster as one more target; repeatable")
	f.StringVar(&o.by, "by", "", "pod or workload; default: workload for text and html, pod for json and csv")
	f.StringArrayVar(&o.diff, "diff", nil, "other manifests: say what changes from -f to these; repeatable")
	f.StringVarP(&o.format, "output", "o", "text", "text, json, csv or html")
	return c
}

// check refuses flags that contradict each other, before anything is read.
func (o *matrixOptions) check(out io.Writer) error {
	switch {
	case !slices.Contains([]string{"text", "json", "csv", "html"}, o.format):
		return fmt.Errorf("--output=%q: text, json, csv or html", o.format)
	case !slices.Contains([]string{"", "pod", "workload"}, o.by):
		return fmt.Errorf("--by=%q: pod or workload", o.by)
	case len(o.diff) > 0 && o.format != "text" && o.format != "json":
		return fmt.Errorf("--diff is told as text or json, not as %s", o.format)
	case len(o.diff) > 0 && len(o.from)+len(o.to)+len(o.namespace)+len(o.fromIP) > 0:
		return errors.New("--diff compares everything: leave out --from, --to, --namespace and --from-ip")
	}
	if f, ok := out.(*os.File); ok && o.format == "html" && isTerminal(f) {
		return errors.New("-o html is a page and not for a terminal: add > matrix.html")
	}
	if o.by == "" {
		o.by = map[string]string{"json": "pod", "csv": "pod"}[o.format]
	}
	return nil
}

// prepare reads everything and asks nothing yet.
func (o *matrixOptions) prepare(c *cobra.Command) (err error) {
	if err := o.check(c.OutOrStdout()); err != nil {
		return err
	}
	if o.query.Ports, err = matrix.ParsePorts(o.ports); err != nil {
		return err
	}
	fromIP, err := matrix.Outside(o.fromIP)
	if err != nil {
		return fmt.Errorf("--from-ip: %w", err)
	}
	toIP, err := matrix.Outside(o.toIP)
	if err != nil {
		return fmt.Errorf("--to-ip: %w", err)
	}
	o.compared = len(o.diff) > 0
	if o.set, o.origin, err = o.judged(c); err != nil {
		return err
	}
	if o.query.From, err = o.choose(o.from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if o.query.To, err = o.choose(o.to); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	for flag, ends := range map[string][]matrix.End{"from-ip": fromIP, "to-ip": toIP} {
		if err := matrix.CheckOutside(o.set, ends); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	o.query.From, o.query.To = append(o.query.From, matrix.OnNodes(o.set, fromIP)...), append(o.query.To, matrix.OnNodes(o.set, toIP)...)
	o.query.Snapshot = verdict.Compile(o.set.World, o.set.Pods)
	return nil
}

func (o *matrixOptions) choose(names []string) ([]matrix.End, error) {
	all := matrix.Ends(o.set)
	for _, ns := range o.namespace {
		if _, err := matrix.Find(all, ns, ""); err != nil {
			return nil, fmt.Errorf("--namespace: no pod is in %q", ns)
		}
	}
	if len(o.namespace) > 0 {
		all = slices.DeleteFunc(all, func(e matrix.End) bool { return !slices.Contains(o.namespace, e.Namespace()) })
	}
	if len(names) == 0 {
		return all, nil
	}
	var chosen []matrix.End
	for _, name := range names {
		found, err := matrix.Find(all, name, "")
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, found...)
	}
	return slices.CompactFunc(chosen, func(a, b matrix.End) bool { return a.Pod == b.Pod }), nil
}

func (o *matrixOptions) write(c *cobra.Command) error {
	if len(o.diff) > 0 {
		return o.writeDiff(c)
	}
	err := o.draw(c.Context(), c.OutOrStdout())
	if errors.Is(err, matrix.ErrTooLarge) {
		return &exitError{exitUsage, fmt.Errorf("%w: narrow it with --from, --to, --namespace or --ports", err)}
	}
	if err != nil {
		return &exitError{exitInconclusive, err}
	}
	return nil
}

func (o *matrixOptions) draw(ctx context.Context, out io.Writer) error {
	q := o.query
	if o.by == "pod" {
		q.From, q.To = matrix.ByPod(q.From), matrix.ByPod(q.To)
	}
	switch o.format {
	case "text":
		t := terminalOf(out)
		t.Input = o.asked()
		return matrix.WriteText(ctx, out, q, t)
	case "html":
		return matrix.WriteHTML(ctx, out, q, matrix.Page{Title: o.origin, Origin: "tightrope " + lab.Stamp})
	case "csv":
		if o.by == "pod" {
			return matrix.WriteCSV(ctx, out, q.Rows())
		}
		return matrix.WriteCSVByWorkload(ctx, out, q.Cells())
	}
	if o.by == "pod" {
		return matrix.WriteJSON(ctx, out, o.head("Matrix", o.set), q.Rows())
	}
	return matrix.WriteJSONByWorkload(ctx, out, o.head("WorkloadMatrix", o.set), q.Cells())
}

// writeDiff compares the set with another.
func (o *matrixOptions) writeDiff(c *cobra.Command) error {
	other := o.source // reads with the same flags
	other.files = o.diff
	after, _, err := other.judged(c)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--diff: %w", err)}
	}
	if o.withRollout && len(o.set.Objects.Rollouts)+len(after.Objects.Rollouts) == 0 {
		return &exitError{exitUsage, errors.New("--with-rollout: no PolicyRollout is in either input: add its file, or leave the flag out")}
	}
	name := workloadNames(o.set, after)
	if o.by == "pod" {
		name = nil
	}
	var ports []verdict.Port
	for _, p := range o.query.Ports {
		if p.Name != "" {
			return &exitError{exitUsage, fmt.Errorf("--ports %s: --diff takes ports by number", p)}
		}
		ports = append(ports, verdict.Port{Number: p.Number, Protocol: p.Protocol})
	}
	options := compare.Options{Workload: name, Ports: ports, PodsOnly: len(o.toIP) == 0, DeclaredOnly: true}
	for _, e := range o.query.To {
		if e.Pod == nil {
			options.Addresses = append(options.Addresses, e.IP)
		}
	}
	changes := compare.Diff(o.query.Snapshot, verdict.Compile(after.World, after.Pods), options)
	policies := matrix.Differing(o.set.World, after.World)
	if o.format == "json" {
		err = writeJSON(c.OutOrStdout(), matrixDifference{other.head("MatrixDifference", after), matrix.DifferenceOf(changes, policies)})
	} else {
		err = matrix.WriteDiffText(c.OutOrStdout(), changes, policies, terminalOf(c.OutOrStdout()))
	}
	if err != nil {
		return &exitError{exitInconclusive, err}
	}
	return nil
}

// workloadNames names the workload of a pod as namespace/name.
func workloadNames(sets ...*manifest.Set) func(*verdict.Pod) string {
	names := map[string]string{}
	for _, set := range sets {
		for _, w := range set.Workloads {
			for _, i := range w.Pods {
				names[set.Pods[i].Key()] = w.Namespace + "/" + w.Name
			}
		}
	}
	return func(p *verdict.Pod) string {
		if name, ok := names[p.Key()]; ok {
			return name
		}
		return p.Key()
	}
}
