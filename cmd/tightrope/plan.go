package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/rollout/preview"
	"github.com/tightrope-dev/tightrope/scenarios"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

type planOptions struct {
	source
	live      bool
	format    string
	manifests string
	set       *manifest.Set
}

func newPlanCommand() *cobra.Command {
	o := &planOptions{source: source{planned: true}}
	c := &cobra.Command{
		Use:   "plan -f ROLLOUT [-f DIR]... | plan SCENARIO",
		Short: "Say what a rollout would do, before anything is applied",
		Long: "Plan judges a PolicyRollout on the pods, Services and policies around it: which paths of its suites\n" +
			"would be cut or leak and by which rule, what no path tests, what changes for everybody else, the order\n" +
			"of the steps, what is open for a while, and the mistakes in the policies. Nothing is sent and nothing\n" +
			"is changed. It says what the controller would do: try the rollout, hold it for a leak, or refuse it\n" +
			"for a cut that no exception of the rollout accepts, with the rule that repairs the cut and the\n" +
			"exception that accepts it. With --live it runs the controller's own preflight as far as that writes\n" +
			"nothing, names whatever would be refused, and says what it could not look at.\n\n" +
			"Exit codes: 0 every critical path would keep working; 1 one would be cut or leak, accepted or not;\n" +
			"3 one cannot be judged; 4 bad input, or the rollout would be refused for something else than a cut:\n" +
			"unless an exception of type Unisolation or SuspendedSync accepts it, where that is what is refused.",
		Example: "  tightrope plan -f manifests/ -f rollout.yaml\n" +
			"  tightrope plan -f rollout.yaml --live\n" +
			"  tightrope plan gw-forgot-dns\n" +
			"  tightrope plan gw-forgot-dns --manifests example/ # to try changes on",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			previews, err := o.previews(c, args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return o.write(c, previews)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.live, "live", false, "judge on the pods, Services and policies of the cluster, not those of the files; suites and rollout come from the files")
	c.Flags().StringVar(&o.manifests, "manifests", "", "also write the scenario as manifests into this new directory")
	c.Flags().StringVarP(&o.format, "output", "o", "text", "text or json")
	return c
}

func (o *planOptions) check(args []string) error {
	switch {
	case o.format != "text" && o.format != "json":
		return fmt.Errorf("--output=%q: text or json", o.format)
	case len(args)+len(o.files) == 0:
		return fmt.Errorf("nothing to plan: give -f with a PolicyRollout and what is around it, or a scenario (%s)", strings.Join(scenarios.Library(), ", "))
	case len(args) > 0 && len(o.files) > 0:
		return fmt.Errorf("-f and the scenario %s: give one of the two", args[0])
	case len(args) == 0 && o.manifests != "":
		return errors.New("--manifests writes a scenario as manifests: name a scenario")
	case !o.live && o.kubeconfig+o.context != "":
		return errors.New("--kubeconfig and --context name a cluster, which is only read with --live")
	}
	return nil
}

func (o *planOptions) previews(c *cobra.Command, args []string) ([]preview.Preview, error) {
	if err := o.check(args); err != nil {
		return nil, err
	}
	set, err := o.input(c, args)
	if err != nil {
		return nil, err
	}
	if len(set.Objects.Rollouts) == 0 {
		return nil, fmt.Errorf("no PolicyRollout is in %s: add one to plan", strings.Join(o.files, ", "))
	}
	files, cluster := set, (*manifest.Set)(nil)
	if o.live {
		cluster, _, err = readCluster(c.Context(), o.kubeconfig, o.context, false)
		if err != nil {
			return nil, err
		}
		here := *cluster // what the rollout is made of comes from the files
		here.Objects.Rollouts, here.Objects.Suites = set.Objects.Rollouts, set.Objects.Suites
		set = &here
	}
	o.tell(c.ErrOrStderr(), set)
	o.set = set
	var all []preview.Preview
	for _, r := range set.Objects.Rollouts {
		p, err := preview.Of(set, r)
		if err != nil {
			return nil, err
		}
		if o.live {
			preflight, err := o.preflight(c.Context(), cluster, files, r)
			if err != nil {
				return nil, err
			}
			p.Confirm(preflight)
		}
		all = append(all, p)
	}
	return all, nil
}

// input is what the files hold, or the scenario.
func (o *planOptions) input(c *cobra.Command, args []string) (*manifest.Set, error) {
	if err := o.forFiles(o.files); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		stated, err := o.options()
		if err != nil {
			return nil, err
		}
		return manifest.Read(o.files, c.InOrStdin(), stated)
	}
	s, err := scenarios.Load(args[0])
	if err != nil {
		return nil, err
	}
	parts, err := rendered(s)
	if err != nil {
		return nil, err
	}
	if o.manifests != "" {
		if err := writeManifests(o.manifests, parts); err != nil {
			return nil, err
		}
		return manifest.Read([]string{o.manifests}, nil, manifest.Options{})
	}
	var stream []byte
	for _, p := range parts {
		stream = append(append(stream, p.yaml...), "---\n"...)
	}
	return manifest.ReadStream("scenario "+s.Metadata.Name, bytes.NewReader(stream), manifest.Options{})
}

// part is a file of a scenario as manifests.
type part struct {
	name string
	yaml []byte
}

// rendered is the platform, the suite and the rollout of a scenario.
func rendered(s *scenarios.Scenario) ([]part, error) {
	objects, err := s.Manifests("")
	if err != nil {
		return nil, err
	}
	var platform bytes.Buffer
	for i, object := range objects {
		b, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			platform.WriteString("---\n")
		}
		platform.Write(b)
	}
	suite, err := yaml.Marshal(s.Suite())
	if err != nil {
		return nil, err
	}
	rollout, err := yaml.Marshal(s.Rollout())
	if err != nil {
		return nil, err
	}
	return []part{{"platform.yaml", platform.Bytes()}, {"suite.yaml", suite}, {"rollout.yaml", rollout}}, nil
}

// writeManifests makes the directory, which must not be there: nothing of
// anybody's is overwritten.
func writeManifests(dir string, parts []part) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("--manifests: %w; name a directory that is not there yet", err)
	}
	for _, p := range parts {
		if err := os.WriteFile(filepath.Join(dir, p.name), p.yaml, 0o644); err != nil {
			return fmt.Errorf("--manifests: %w", err)
		}
	}
	return nil
}

func (o *planOptions) write(c *cobra.Command, all []preview.Preview) error {
	worst := preview.Clean
	for i, p := range all {
		worst = worsePlan(worst, p.Result())
		if o.format == "text" {
			if i > 0 {
				fmt.Fprintln(c.OutOrStdout())
			}
			if err := p.WriteText(c.OutOrStdout()); err != nil {
				return err
			}
		}
	}
	if o.format == "json" {
		rep := planReport{o.head("PlanReport", o.set), []preview.Document{}}
		for _, p := range all {
			rep.Plans = append(rep.Plans, p.Document())
		}
		if err := writeJSON(c.OutOrStdout(), rep); err != nil {
			return err
		}
	}
	code := map[preview.Result]int{preview.Clean: exitOK, preview.Breaks: exitCut, preview.Unclear: exitInconclusive, preview.Refused: exitUsage}[worst]
	if code == exitOK {
		return nil
	}
	return &exitError{code, nil}
}

// worsePlan is the more serious of two results: one that nobody can judge hides
// one that is clean, whichever comes first.
func worsePlan(a, b preview.Result) preview.Result {
	order := []preview.Result{preview.Clean, preview.Unclear, preview.Breaks, preview.Refused}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}
