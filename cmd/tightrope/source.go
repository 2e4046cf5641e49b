package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// source is where policies and pods are read from: manifests, or a cluster.
type source struct {
	files      []string
	kubeconfig string
	context    string
	stated
	callers     bool // read which Services the API server calls, too
	verbose     bool
	withRollout bool     // judge as if the policies of the rollouts were applied
	planned     bool     // the rollouts are what the command is about
	compared    bool     // with another source, which may have the rollouts
	unchecked   []string // what the command could not look at
}

func (s *source) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&s.files, "filename", "f", nil, "file or directory of manifests, or - for standard input; repeatable; without it: the current cluster")
	c.Flags().StringVar(&s.kubeconfig, "kubeconfig", "", "cluster to read; empty means $KUBECONFIG, then the user's own")
	c.Flags().StringVar(&s.context, "context", "", "context of the kubeconfig; empty means its current one")
	s.stated.flags(c)
	c.Flags().BoolVarP(&s.verbose, "verbose", "v", false, "list every note about the input, and the kinds that are not read")
}

// rolloutFlag is for the commands that can judge with and without rollouts.
func (s *source) rolloutFlag(c *cobra.Command, applied bool) {
	c.Flags().BoolVar(&s.withRollout, "with-rollout", applied, "judge as if the policies of each PolicyRollout in the input were applied")
}

// read reads the manifests, or else the cluster. Origin says in a few words
// which. Every error is bad input.
func (s *source) read(c *cobra.Command, use manifest.Use) (set *manifest.Set, origin string, err error) {
	if err := s.forFiles(s.files); err != nil {
		return nil, "", err
	}
	if len(s.files) == 0 {
		return readCluster(c.Context(), s.kubeconfig, s.context, s.callers)
	}
	for flag, value := range map[string]string{"kubeconfig": s.kubeconfig, "context": s.context} {
		if value != "" {
			return nil, "", fmt.Errorf("--%s names a cluster, and -f manifests: give one of the two", flag)
		}
	}
	o, err := s.options()
	if err != nil {
		return nil, "", err
	}
	o.Use = use
	set, err = manifest.Read(s.files, c.InOrStdin(), o)
	return set, strings.Join(s.files, ", "), err
}

// judged reads what a command judges: with --with-rollout, the policies of the
// rollouts too. It tells what the input does not say, and which rollouts it judges.
func (s *source) judged(c *cobra.Command) (*manifest.Set, string, error) {
	use := manifest.ForPolicies
	if s.withRollout {
		use = manifest.ForCandidates
	}
	set, origin, err := s.read(c, use)
	if err != nil {
		return nil, "", err
	}
	if set, err = s.applied(set, origin); err != nil {
		return nil, "", err
	}
	s.tell(c.ErrOrStderr(), set)
	return set, origin, nil
}

// applied is the set with the policies of its rollouts, if that is asked for.
func (s *source) applied(set *manifest.Set, origin string) (*manifest.Set, error) {
	switch {
	case !s.withRollout:
		return set, nil
	case len(set.Objects.Rollouts) == 0 && !s.compared:
		return nil, fmt.Errorf("--with-rollout: no PolicyRollout is in %s: add its file with -f, or leave the flag out", origin)
	}
	return set.WithCandidates(), nil
}

// asked are the flags that name the input, for another command about the same.
func (s *source) asked() string {
	var all []string
	for _, f := range s.files {
		all = append(all, "-f "+quoted(f))
	}
	for flag, value := range map[string]string{"--kubeconfig": s.kubeconfig, "--context": s.context} {
		if value != "" {
			all = append(all, flag+" "+quoted(value))
		}
	}
	slices.Sort(all)
	if s.withRollout {
		all = append(all, "--with-rollout")
	}
	return strings.Join(all, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@=,", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// terminalOf says how wide text may be, and whether it may have colour.
func terminalOf(out io.Writer) matrix.Terminal {
	t := matrix.Terminal{Columns: report.Columns}
	f, ok := out.(*os.File)
	if !ok || !isTerminal(f) {
		return t
	}
	t.Colour = mayColour(f)
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns >= 40 {
		t.Columns = columns
	}
	return t
}

// readCluster lists what verdicts depend on, and if asked who makes the API server
// call Services. It changes nothing.
func readCluster(ctx context.Context, kubeconfig, name string, callers bool) (*manifest.Set, string, error) {
	cfg, cluster, err := existing.ConnectAs(ctx, kubeconfig, name)
	if err != nil {
		return nil, "", err
	}
	lists, err := existing.List(ctx, cfg)
	if err == nil && callers {
		err = lists.ListCallers(ctx, cfg)
	}
	if err != nil {
		return nil, "", err
	}
	return manifest.FromLists(manifest.Lists(lists)), "cluster " + cluster, nil
}
