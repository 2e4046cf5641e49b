package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy/images"
	"github.com/tightrope-dev/tightrope/report"
)

func newImagesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "images",
		Short: "The container images of the controller and its probe pods",
		Long: "Images are kept in an OCI layout, a folder that crane, skopeo and oras read too. `push` copies\n" +
			"them to your registry; pods then name them by digest.",
	}
	var folder string
	c.PersistentFlags().StringVar(&folder, "image-layout", "", "folder with the images; the default is the folder images beside this program")
	c.AddCommand(newImagesList(&folder), newImagesPush(&folder), newImagesSave(&folder), newImagesLoad(&folder), newImagesBuild(&folder))
	return c
}

// imagesError gives an error of package images its exit code: a registry that does
// not answer may answer later, all else is for the user to change.
func imagesError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, images.ErrUnreachable):
		return &exitError{exitInconclusive, err}
	}
	return &exitError{exitUsage, err}
}

// openImages opens the layout that the flag names, or the one beside this program.
func openImages(folder string) (*images.Layout, error) {
	dir, err := images.Find(folder)
	if err != nil {
		return nil, err
	}
	return images.Open(dir)
}

func newImagesList(folder *string) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Print the images of a layout with their digests and sizes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			l, err := openImages(*folder)
			if err != nil {
				return imagesError(err)
			}
			if format == "json" {
				return writeJSON(c.OutOrStdout(), l.Images)
			}
			return printImages(c.OutOrStdout(), l.Images)
		},
	}
	outputFlag(c, &format)
	return c
}

func printImages(out io.Writer, all []images.Image) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVERSION\tPLATFORM\tSIZE\tDIGEST")
	for _, i := range all {
		fmt.Fprintf(w, "%s\t%s\t\t\t%s\n", i.Name, report.Sanitize(i.Version), i.Digest)
		for _, p := range i.Platforms {
			fmt.Fprintf(w, "\t\t%s\t%.1f MB\t%s\n", report.Sanitize(p.Platform), float64(p.Size)/1e6, p.Digest)
		}
	}
	return w.Flush()
}

func newImagesPush(folder *string) *cobra.Command {
	var to images.Target
	var sbom bool
	var format string
	c := &cobra.Command{
		Use:   "push --to REGISTRY/PREFIX",
		Short: "Copy the images to a registry, and print the references that pods should name",
		Long: "Push copies the images, for every platform and with their SBOMs, to REGISTRY/PREFIX/NAME. It uses\n" +
			"the credentials of `docker login`, and prints one reference by digest for each image on standard output.",
		Example: "  tightrope images push --to registry.example/team/tightrope",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			l, err := openImages(*folder)
			if err != nil {
				return imagesError(err)
			}
			to.NoSBOM = !sbom
			to.Began = func(i images.Image) {
				fmt.Fprintf(c.ErrOrStderr(), "pushing %s, %.1f MB\n", i.Name, float64(i.Size())/1e6)
			}
			pushed, err := l.Push(c.Context(), to)
			if err != nil {
				return imagesError(err)
			}
			if format == "json" {
				return writeJSON(c.OutOrStdout(), pushed)
			}
			for _, p := range pushed {
				fmt.Fprintln(c.OutOrStdout(), p.Reference)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&to.Prefix, "to", "", "REGISTRY/PREFIX, as registry.example/team; the images get their names below it")
	f.StringVar(&to.Tag, "tag", "", "tag of the pushed images; the default is their version")
	f.BoolVar(&to.Insecure, "insecure", false, "speak plain HTTP with a registry that does not answer HTTPS")
	f.BoolVar(&sbom, "sbom", true, "push the SBOMs too, as referrers of the images")
	outputFlag(c, &format)
	_ = c.MarkFlagRequired("to")
	return c
}

func newImagesSave(folder *string) *cobra.Command {
	var registry string
	c := &cobra.Command{
		Use:   "save FILE",
		Short: "Write the images to one file, an OCI archive; - is standard output",
		Long: "Save writes an OCI archive, which `load`, skopeo, podman and containerd read. With --registry, containerd also\n" +
			"knows the images by the names that pods have when that registry is named to other commands: nodes onto which\n" +
			"the archive is loaded pull nothing, and the registry need not be there. It prints these names, as push does.",
		Example: "  tightrope images save images.tar\n" +
			"  tightrope images save --registry registry.example/tightrope images.tar && kind load image-archive images.tar",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := openImages(*folder)
			if err != nil {
				return imagesError(err)
			}
			if args[0] == "-" {
				return imagesError(l.Save(c.OutOrStdout(), registry))
			}
			if err := l.SaveFile(args[0], registry); err != nil {
				return imagesError(err)
			}
			if registry == "" {
				fmt.Fprintf(c.OutOrStdout(), "saved %d images to %s\n", len(l.Images), args[0])
				return nil
			}
			names, err := l.References(registry)
			for _, i := range l.Images {
				fmt.Fprintln(c.OutOrStdout(), names[i.Name]) // as push does
			}
			return err
		},
	}
	c.Flags().StringVar(&registry, "registry", "", "registry and prefix that pods will name; nothing is sent there")
	return c
}

func newImagesLoad(folder *string) *cobra.Command {
	return &cobra.Command{
		Use:   "load FILE",
		Short: "Unpack images that `save` wrote, or that came with a release; - is standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := images.Beside(*folder)
			if err != nil {
				return imagesError(err)
			}
			from := c.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return imagesError(err)
				}
				defer f.Close()
				from = f
			}
			l, err := images.Load(from, dir)
			if err != nil {
				return imagesError(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "loaded %d images into %s\n", len(l.Images), dir)
			return nil
		},
	}
}

// newImagesBuild is for `make images`: who has a release has its images.
func newImagesBuild(folder *string) *cobra.Command {
	o := images.Options{Version: lab.Stamp}
	var created string
	c := &cobra.Command{
		Use:   "build",
		Short: "Pack static binaries into images; `make images` builds those first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := images.Beside(*folder)
			if err == nil && created != "" {
				o.Created, err = images.Epoch(created)
			}
			if err != nil {
				return imagesError(err)
			}
			l, err := images.Build(dir, o)
			if err != nil {
				return imagesError(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s:\n", dir)
			return printImages(c.OutOrStdout(), l.Images)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Binaries, "binaries", "", "folder with "+strings.Join(images.Programs, ", ")+" in linux_amd64 and in linux_arm64")
	f.StringVar(&o.Version, "version", o.Version, "version that the images say they are of")
	f.StringVar(&o.Revision, "revision", "", "commit that the images say they are of")
	f.StringVar(&created, "created", os.Getenv("SOURCE_DATE_EPOCH"), "time that the images say they are of, in seconds since 1970; the default is SOURCE_DATE_EPOCH, or 1970")
	_ = c.MarkFlagRequired("binaries")
	return c
}
