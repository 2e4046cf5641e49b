package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
)

// dryRuns are what kubectl's --dry-run takes.
var dryRuns = []string{"none", "client", "server"}

// installOptions are the flags of install, upgrade and uninstall.
type installOptions struct {
	context, kubeconfig string
	dryRun, output      string
	timeout             time.Duration
	force               bool
	abort               bool
	registry, layout    string
	deploy              deploy.Options
	apart               bool   // --single-tenant=false
	fallback            string // registry that nobody asked for
}

func newInstallCommand() *cobra.Command {
	o := installOptions{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install Tightrope on a cluster",
		Long: "Install puts the CRDs and the controller into a cluster, and waits until the controller is ready.\n" +
			"It asks first whether you may, and whether the cluster would take it. If anything fails, what was written\n" +
			"is taken back. Doing it again changes nothing but what is said again.\n\n" +
			"A rollout is made with the rights of the service account that it names, and only by those who may impersonate\n" +
			"that. --tenant makes such an account in a namespace. Where cluster administrators alone make rollouts,\n" +
			"--single-tenant does without: then whoever may create a rollout may change policies everywhere.\n\n" +
			"Exits 0 when Tightrope is installed, 3 if it did not come up, and 4 if it was refused: rights are missing,\n" +
			"another version is there, or no --registry says where the images are and the cluster is no lab.",
		Example: "  tightrope install --registry registry.example.com/tightrope --single-tenant\n" +
			"  tightrope install --registry registry.example.com/tightrope --tenant team-a --tenant team-b\n  tightrope install --dry-run -o yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.bring(cmd, install.Install) },
	}
	o.register(cmd)
	o.registerObjects(cmd)
	return cmd
}

func newUpgradeCommand() *cobra.Command {
	o := installOptions{}
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the installed version by this one",
		Long: "Upgrade replaces the CRDs and the controller by those of this version, and removes what only the older one\n" +
			"had. It is refused while a rollout is under way. If anything fails, the older version is put back. What was\n" +
			"said when it was installed stays, where it is not said again: who may make rollouts, the registry, pull secrets,\n" +
			"memory, and where probe pods run. --tenant adds a namespace. An empty value, as --probe-toleration=, removes.\n\n" +
			"Exits 0 when this version runs, 3 if it did not come up, and 4 if it was refused.",
		Example: "  tightrope upgrade\n  tightrope upgrade --registry registry.example.com/tightrope --probe-node-selector pool=probes",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.bring(cmd, install.Upgrade) },
	}
	o.register(cmd)
	o.registerObjects(cmd)
	return cmd
}

func newUninstallCommand() *cobra.Command {
	o := installOptions{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove Tightrope, and leave policies in force as they are",
		Long: "Uninstall deletes every rollout, run and suite, the controller, its roles and the CRDs. Policies that are in\n" +
			"force stay so; the committed ones lose our labels and annotations. It is refused while a rollout is under way,\n" +
			"unless --abort ends that first: then what the rollout changed is taken back.\n\n" +
			"Exits 0 when nothing is left, 3 if it did not get that far, and 4 if it was refused.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			leavesRunning(cmd.Context(), "stopping: what is removed stays so, and a rollout that was aborted goes on being taken back; finish it with tightrope uninstall")
			return o.on(cmd, func(cfg *rest.Config, options install.Options) error {
				return install.Uninstall(cmd.Context(), cfg, options, install.Removal{Abort: o.abort})
			})
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.abort, "abort", false, "abort rollouts that are under way, and wait until they are taken back")
	return cmd
}

func (o *installOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.context, "context", "", "context of the kubeconfig; empty means its current one")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig to use; empty means $KUBECONFIG, then the user's own")
	f.DurationVar(&o.timeout, "timeout", install.DefaultTimeout, "how long it may take")
	f.StringVar(&o.dryRun, "dry-run", "none", "none; server: ask the API server what it would say, and store nothing; client: do not ask it")
	f.Lookup("dry-run").NoOptDefVal = "client"
}

func (o *installOptions) registerObjects(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "with --dry-run=client: yaml or json, the objects that would be applied")
	f.StringVar(&o.registry, "registry", defaultRegistry, "registry and prefix that the images were pushed to (tightrope images push); left out, those of what is installed; empty means the names that only the lab knows")
	f.StringVar(&o.layout, "image-layout", "", "folder with the images, from which their digests are read; empty means what was released with this program, or the folder images beside it")
	f.BoolVar(&o.force, "force-conflicts", false, "take over fields of our objects that somebody else has set")
	f.BoolVar(&o.deploy.SingleTenant, "single-tenant", false, "rollouts need no service account: for clusters where administrators alone make rollouts (Kubernetes below 1.30 can only do this)")
	f.StringSliceVar(&o.deploy.Tenants, "tenant", nil, "namespace in which rollouts may be made, with a service account that is made for them; repeatable")
	f.StringArrayVar(&o.deploy.PullSecrets, "image-pull-secret", nil, "Secret of namespace tightrope-system with which the controller's image is pulled; repeatable; empty means none any more")
	f.Func("memory", "memory limit of the controller, such as 1Gi; left out, that of what is installed, or "+deploy.DefaultMemory, o.limitMemory)
	o.registerProbes(cmd)
}

// leastMemory is what the controller needs to start, and to read a small cluster.
var leastMemory = resource.MustParse("128Mi")

// limitMemory reads the controller's memory limit, and refuses one that it could not start with.
func (o *installOptions) limitMemory(s string) error {
	limit, err := resource.ParseQuantity(s)
	if err != nil {
		return fmt.Errorf("%q is no quantity: write 1Gi, or 768Mi", s)
	}
	if limit.Cmp(leastMemory) < 0 {
		return fmt.Errorf("%s is less than the controller needs to start: %s at least", s, &leastMemory)
	}
	o.deploy.Memory = limit.String()
	return nil
}

// registerProbes registers what the controller is told of probe pods. Its own readers
// check it first: a controller that does not start says nothing that people see.
func (o *installOptions) registerProbes(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Func("probe-image-pull-secret", "name of a pull secret of every namespace that gets a probe pod; repeatable; empty means none any more", func(s string) error {
		if s == "" {
			o.deploy.ProbePullSecrets = []string{}
			return nil
		}
		o.deploy.ProbePullSecrets = append(o.deploy.ProbePullSecrets, s)
		return new(pods.Options).SetPullSecret(s)
	})
	f.Func("probe-node-selector", "labels, as key=value,key=value, of the nodes that probe pods may run on; repeatable; empty means all nodes", func(s string) error {
		read := pods.Options{NodeSelector: o.deploy.ProbeNodeSelector}
		err := read.SetNodeSelector(s)
		o.deploy.ProbeNodeSelector = read.NodeSelector
		return err
	})
	f.Func("probe-toleration", "taint, as key=value:Effect, that probe pods tolerate; repeatable; empty means none any more", func(s string) error {
		if s == "" {
			o.deploy.ProbeTolerations = []string{}
			return nil
		}
		o.deploy.ProbeTolerations = append(o.deploy.ProbeTolerations, s)
		return new(pods.Options).SetToleration(s)
	})
}

// bring installs or upgrades, or prints what it would apply.
func (o *installOptions) bring(cmd *cobra.Command, do func(ctx context.Context, cfg *rest.Config, options install.Options) error) error {
	o.deploy.Version = lab.Stamp
	o.apart = cmd.Flags().Changed("single-tenant") && !o.deploy.SingleTenant
	o.deploy.PullSecrets = slices.DeleteFunc(o.deploy.PullSecrets, func(name string) bool { return name == "" })
	if err := o.refer(cmd.Flags().Changed("registry")); err != nil {
		return err
	}
	if o.output != "" && o.dryRun != "client" {
		return fmt.Errorf("-o %s prints what would be applied: it needs --dry-run=client", o.output)
	}
	if o.dryRun == "client" {
		return o.print(cmd.OutOrStdout())
	}
	return o.on(cmd, func(cfg *rest.Config, options install.Options) error { return do(cmd.Context(), cfg, options) })
}

// refer makes the objects name the pushed images by their digests. What is installed may
// say where, which a registry that was not asked for does not overrule.
func (o *installOptions) refer(asked bool) error {
	switch {
	case o.registry == "" && o.layout != "":
		return errors.New("--image-layout says which images were pushed, and not where: add --registry")
	case o.registry == "" && asked:
		o.deploy.Controller = deploy.LabController
		return nil
	case !asked && o.dryRun != "client":
		o.fallback = o.registry
		return nil
	case o.registry == "":
		return nil
	}
	references, err := pushed(o.layout, o.registry)
	if err != nil {
		return err
	}
	o.deploy.Controller, o.deploy.Agent, o.deploy.Twin = references["controller"], references["agent"], references["twin"]
	return nil
}

// on connects to the cluster and tells of every step.
func (o *installOptions) on(cmd *cobra.Command, do func(cfg *rest.Config, options install.Options) error) error {
	if !slices.Contains(dryRuns, o.dryRun) {
		return fmt.Errorf("--dry-run %q: want none, client or server", o.dryRun)
	}
	if o.timeout <= 0 {
		return fmt.Errorf("--timeout %s: want more than 0", o.timeout)
	}
	cfg, _, err := existing.ConnectAs(cmd.Context(), o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	err = do(cfg, install.Options{Deploy: o.deploy, Timeout: o.timeout, Overwrite: o.force, DryRun: o.dryRun != "none", Apart: o.apart,
		Registry: o.fallback, Images: func(registry string) (map[string]string, error) { return pushed(o.layout, registry) },
		Progress: func(line string) { fmt.Fprintln(cmd.OutOrStdout(), report.Sanitize(line)) }})
	switch {
	case err == nil:
		return nil
	case cmd.Context().Err() != nil:
		return &exitError{exitInterrupted, err}
	case install.Refused(err):
		return &exitError{exitUsage, err}
	}
	return &exitError{exitInconclusive, err}
}

// print writes the objects in the order in which they are applied.
func (o *installOptions) print(w io.Writer) error {
	crds, err := deploy.CRDs(o.deploy)
	if err != nil {
		return err
	}
	rest, err := deploy.Manifests(o.deploy)
	if err != nil {
		return err
	}
	objects := append(crds, rest...)
	switch o.output {
	case "":
		for _, x := range objects {
			fmt.Fprintf(w, "%s would be applied\n", install.Title(x))
		}
		return nil
	case "yaml":
		for _, x := range objects {
			doc, err := yaml.Marshal(x.Object)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "---\n%s", doc); err != nil {
				return err
			}
		}
		return nil
	case "json":
		list := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
		items := make([]any, len(objects))
		for i, x := range objects {
			items[i] = x.Object
		}
		list.Object["items"] = items
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(list.Object)
	}
	return fmt.Errorf("-o %q: want yaml or json", o.output)
}
