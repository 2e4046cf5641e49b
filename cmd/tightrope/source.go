package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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
	callers    bool // read which Services the API server calls, too
}

func (s *source) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&s.files, "filename", "f", nil, "file or directory of manifests, or - for standard input; repeatable; without it: the current cluster")
	c.Flags().StringVar(&s.kubeconfig, "kubeconfig", "", "cluster to read; empty means $KUBECONFIG, then the user's own")
	c.Flags().StringVar(&s.context, "context", "", "context of the kubeconfig; empty means its current one")
	s.stated.flags(c)
}

// read reads the manifests, or else the cluster. Origin says in a few words
// which. Every error is bad input.
func (s *source) read(c *cobra.Command) (set *manifest.Set, origin string, err error) {
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
	set, err = manifest.Read(s.files, c.InOrStdin(), o)
	return set, strings.Join(s.files, ", "), err
}

// maxNotes of the input are told; the rest is counted.
const maxNotes = 5

// tellNotes says what of the input was skipped or is not known.
func tellNotes(w io.Writer, set *manifest.Set) {
	for i, n := range set.Notes {
		if i == maxNotes {
			fmt.Fprintf(w, "note: and %d more\n", len(set.Notes)-i)
			return
		}
		fmt.Fprintf(w, "note: %s\n", report.Sanitize(n.String()))
	}
}

// terminalOf says how wide text may be, and whether it may have colour.
func terminalOf(out io.Writer) matrix.Terminal {
	t := matrix.Terminal{Columns: report.Columns}
	f, ok := out.(*os.File)
	if !ok || !isTerminal(f) {
		return t
	}
	t.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col >= 40 {
		t.Columns = int(size.Col)
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
