package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/report"
)

// commit is what a release was built of; empty: what Go noted, if anything. The linker
// sets it.
var commit string

// versionWithin bounds how long a cluster may take to say what is installed.
const versionWithin = 15 * time.Second

// versions are what version -o json and -o yaml write, as kubectl's do.
type versions struct {
	Client     clientVersion      `json:"clientVersion"`
	Controller *controllerVersion `json:"controllerVersion,omitempty"` // nil: no cluster was asked
}

// clientVersion is that of this program.
type clientVersion struct {
	GitVersion string `json:"gitVersion"`
	GitCommit  string `json:"gitCommit,omitempty"` // empty: not known
	Release    bool   `json:"release"`             // false: a development build
	GoVersion  string `json:"goVersion"`
	Platform   string `json:"platform"`
	Kubernetes string `json:"kubernetesVersion,omitempty"` // of the libraries that it is built of
}

// controllerVersion is what a cluster has installed.
type controllerVersion struct {
	Installed  bool   `json:"installed"`
	GitVersion string `json:"gitVersion,omitempty"`
}

// released are the names of releases: tags. A commit without one, and a changed tree,
// have other names.
var released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

func isRelease(version string) bool {
	return released.MatchString(version) && !strings.HasPrefix(version, "v0.0.0-") && !strings.HasSuffix(version, "-dirty")
}

// thisVersion is that of this program.
func thisVersion() clientVersion {
	v := clientVersion{GitVersion: lab.Stamp, GitCommit: commit, Release: isRelease(lab.Stamp), GoVersion: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && commit == "" {
			v.GitCommit = s.Value
		}
	}
	for _, m := range info.Deps {
		if m.Path == "k8s.io/client-go" {
			v.Kubernetes = m.Version
		}
	}
	return v
}

// versionOptions are the flags of version.
type versionOptions struct {
	kubeconfig, context string
	client              bool
	format              string
}

func newVersionCommand() *cobra.Command {
	var o versionOptions
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program, and of the controller on the cluster",
		Long: "Version prints what this program was built from, and which version of the controller is installed on the\n" +
			"kubeconfig's cluster. Where no kubeconfig names a cluster, none is asked.\n\n" +
			"Exits 3 if the cluster cannot be asked: what is known of this program is printed all the same.",
		Example: "  tightrope version --client\n  tightrope version -o yaml",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.BoolVar(&o.client, "client", false, "print the version of this program only, and ask no cluster")
	f.StringVarP(&o.format, "output", "o", "", "json or yaml; empty means text")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty means $KUBECONFIG, then the user's own")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig; empty means its current one")
	return c
}

func (o *versionOptions) run(c *cobra.Command) error {
	if o.format != "" && o.format != "json" && o.format != "yaml" {
		return &exitError{exitUsage, fmt.Errorf("--output=%q: json or yaml", o.format)}
	}
	if o.client && (o.kubeconfig != "" || o.context != "") {
		return &exitError{exitUsage, errors.New("--client asks no cluster: leave --kubeconfig and --context out")}
	}
	v := versions{Client: thisVersion()}
	var failed error
	if !o.client {
		if v.Controller, failed = o.ask(c.Context()); failed != nil {
			failed = &exitError{exitInconclusive, fmt.Errorf("version of the controller: %w", failed)}
		}
	}
	if err := v.write(c.OutOrStdout(), o.format); err != nil {
		return &exitError{exitInconclusive, err}
	}
	if has := v.Controller; has != nil && has.Installed && has.GitVersion != v.Client.GitVersion {
		fmt.Fprintf(c.ErrOrStderr(), "WARNING: the controller is of version %s and this program of %s; tightrope upgrade replaces the controller\n",
			report.Sanitize(has.GitVersion), v.Client.GitVersion)
	}
	return failed
}

// ask asks the cluster; nil without an error where there is none to ask.
func (o *versionOptions) ask(ctx context.Context) (*controllerVersion, error) {
	ctx, stop := context.WithTimeout(ctx, versionWithin)
	defer stop()
	cfg, _, err := existing.ConnectAs(ctx, o.kubeconfig, o.context)
	if errors.Is(err, existing.ErrNoKubeconfig) && o.kubeconfig == "" && o.context == "" {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	version, found, err := install.Installed(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &controllerVersion{Installed: found, GitVersion: version}, nil
}

func (v versions) write(out io.Writer, format string) error {
	switch format {
	case "json":
		return writeJSON(out, v)
	case "yaml":
		text, err := yaml.Marshal(v)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return v.text(out)
}

func (v versions) text(out io.Writer) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, report.Sanitize(value))
		}
	}
	name := v.Client.GitVersion
	if !v.Client.Release {
		name += " (development build)"
	}
	line("Client Version", name)
	line("Commit", v.Client.GitCommit)
	line("Go Version", v.Client.GoVersion)
	line("Platform", v.Client.Platform)
	line("Kubernetes Libraries", v.Client.Kubernetes)
	switch has := v.Controller; {
	case has == nil:
	case !has.Installed:
		line("Controller Version", "not installed")
	case has.GitVersion == "":
		line("Controller Version", "without a name")
	default:
		line("Controller Version", has.GitVersion)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
