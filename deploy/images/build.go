package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"
)

// Options say what to pack.
type Options struct {
	Binaries string    // folder with linux_amd64/agent and so on, static
	Version  string    // of the build; empty: dev
	Revision string    // the commit; empty: not known
	Created  time.Time // written into everything, to the second; the zero Time means 1970
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Created.IsZero() {
		o.Created = time.Unix(0, 0)
	}
	o.Created = o.Created.UTC().Truncate(time.Second)
	return o
}

// Epoch is the time that SOURCE_DATE_EPOCH and git give: seconds since 1970.
func Epoch(seconds string) (time.Time, error) {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, fmt.Errorf("time %.40q: seconds since 1970 are needed, as `git log -1 --format=%%ct` gives them", seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

// Build packs every program for every architecture into one OCI layout at dir,
// which replaces a layout that is there, and nothing else. dir is as before where
// it fails.
func Build(dir string, o Options) (*Layout, error) {
	o = o.withDefaults()
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	parts := make([]platformImage, len(Programs)*len(Architectures)) // one slot each
	failed := make([]error, len(parts))                              // so that the same thing is said each time
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0)) // a slot holds a whole program in memory
	for i := range parts {
		name, arch := Programs[i/len(Architectures)], Architectures[i%len(Architectures)]
		g.Go(func() error {
			var p program
			if p, failed[i] = readProgram(o.Binaries, name, arch); failed[i] == nil {
				parts[i], failed[i] = p.pack(o)
			}
			return nil
		})
	}
	_ = g.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("pack images: %w", err)
		}
	}
	err := replace(dir, func(fresh string) error { return write(fresh, parts, o) })
	if err != nil {
		return nil, fmt.Errorf("write the layout %s: %w", dir, err)
	}
	return Open(dir)
}

// write makes a layout of the images and after them their SBOMs.
func write(dir string, parts []platformImage, o Options) error {
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for i, name := range Programs {
		ix := index(name, parts[i*len(Architectures):(i+1)*len(Architectures)], o)
		err := path.AppendIndex(ix, layout.WithAnnotations(map[string]string{annotationName: name,
			annotationContainerd: namespace + "/" + name + ":" + tag(o.Version), annotationVersion: o.Version}))
		if err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := path.WriteImage(p.sbom); err != nil {
			return err
		}
		d, err := partial.Descriptor(p.sbom)
		if err != nil {
			return err
		}
		err = path.AppendDescriptor(v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: sbomType})
		if err != nil {
			return err
		}
	}
	return nil
}

// replaceable refuses a folder that holds something else than a layout.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("layout %s: %w", dir, err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "blobs", "index.json", "oci-layout":
		default:
			return fmt.Errorf("%s holds %s, so it is no OCI layout and is not replaced; name another folder, or empty this one", dir, e.Name())
		}
	}
	return nil
}

// replace lets fill make a folder beside dir, and puts it in dir's place.
func replace(dir string, fill func(fresh string) error) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	inside := filepath.Join(fresh, "layout")
	if err := fill(inside); err != nil {
		return err
	}
	before := filepath.Join(fresh, "before")
	if err := os.Rename(dir, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(inside, dir); err != nil {
		_ = os.Rename(before, dir) // as it was, where there was one
		return err
	}
	return nil
}
