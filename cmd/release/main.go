// Command release makes what people download; `make release` runs it. It is no part of
// a release itself.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/deploy/images"
	"github.com/tightrope-dev/tightrope/deploy/release"
)

func main() {
	if err := newCommand().Execute(); err != nil {
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	c := &cobra.Command{Use: "release", Short: "Pack programs into images and archives", SilenceUsage: true}
	var created string
	c.PersistentFlags().StringVar(&created, "created", os.Getenv("SOURCE_DATE_EPOCH"), "time that everything is of, in seconds since 1970; the default is SOURCE_DATE_EPOCH")
	c.AddCommand(newImages(&created), newArchives(&created))
	return c
}

// newImages prints the images' digests, with which the command line is linked.
func newImages(created *string) *cobra.Command {
	var o images.Options
	c := &cobra.Command{
		Use: "images LAYOUT", Short: "Pack the images into an OCI layout, and print their digests", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Created, err = images.Epoch(*created); err != nil {
				return err
			}
			l, err := images.Build(args[0], o)
			if err == nil {
				fmt.Fprintln(c.OutOrStdout(), l.Digests())
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Binaries, "binaries", "", "folder with linux_amd64/agent and so on")
	f.StringVar(&o.Version, "version", "", "version, as v1.2.3")
	f.StringVar(&o.Revision, "revision", "", "commit")
	return c
}

func newArchives(created *string) *cobra.Command {
	var o release.Options
	c := &cobra.Command{
		Use: "archives FOLDER", Short: "Pack archives, SBOMs, checksums and krew's manifest", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Created, err = images.Epoch(*created); err != nil {
				return err
			}
			files, err := release.Make(args[0], o)
			for _, name := range files {
				st, err := os.Stat(filepath.Join(args[0], name))
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%7.1f MB  %s\n", float64(st.Size())/1e6, filepath.Join(args[0], name))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Binaries, "binaries", "", "folder with linux_amd64/tightrope and so on")
	f.StringArrayVar(&o.Documents, "document", nil, "file that every archive gets; repeatable")
	f.StringVar(&o.Modules, "modules", "", "Go's cache of modules, where their licences are: go env GOMODCACHE")
	f.StringVar(&o.GoLicence, "go-licence", "", "file with the licence of Go itself")
	f.StringSliceVar(&o.Platforms, "platforms", nil, "as linux/amd64,darwin/arm64; empty means all")
	f.StringSliceVar(&o.Lab, "lab", nil, "architectures of Linux that get an archive with the lab, too")
	f.StringVar(&o.Images, "image-layout", "", "OCI layout of the release's images")
	f.StringVar(&o.Version, "version", "", "version, as v1.2.3")
	f.StringVar(&o.URL, "url", "", "folder that the files will be downloaded from; the default is that of the project's release")
	return c
}
