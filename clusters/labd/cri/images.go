package cri

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
)

// Images implements the kubelet's ImageManagerService over a fixed set of names.
type Images struct {
	known  map[string]*image   // by normalised name, and by name without registry where that is unique
	pinned map[string][]*image // by digest, as sha256:…
	names  []string            // the full names, sorted
}

var _ internalapi.ImageManagerService = (*Images)(nil)

// image is a program with a name.
type image struct {
	name    string   // without tag
	program string   // path on the node, or below files
	files   string   // a folder of the node that the program needs, shown at the container's root; empty: it is static
	args    []string // the entry point's, after the program
	rest    []string // what follows when the pod gives no arguments
	size    uint64
	env     []string // of every container, before the pod's own
	dir     string   // working directory where the pod names none
	uid     int64    // whom it wants to run as; 0: it does not say
	digest  string   // by which alone the lab knows it; empty: any image of the name may be meant
	whole   bool     // out of a layout: args are its entry point, with the program
}

// base is the program's name inside containers.
func (i *image) base() string { return path.Base(i.name) }

// id is what the kubelet knows the image by, and asks for when it starts a container.
func (i *image) id() string { return i.reference(i.name) }

// reference is the image as a pod asked for it, with the digest that was found.
func (i *image) reference(asked string) string {
	if i.digest == "" {
		return i.name
	}
	return untagged(asked) + "@" + i.digest
}

// hostFiles is where the lab keeps files of the machine: the supervisor's hostPath.
const hostFiles = "/host"

// argv is what a container runs: the pod's command replaces the whole image's,
// the pod's arguments replace what follows the entry point. A program among files
// is where it always is.
func (i *image) argv(command, args []string) []string {
	program := []string{"/" + i.base()}
	switch {
	case i.whole:
		program = nil
	case i.files != "":
		program = []string{i.program}
	}
	entry := append(program, i.args...)
	if len(command) == 0 && len(args) == 0 {
		args = i.rest
	}
	return container.Command(entry, command, args)
}

// NewImages takes image names, tags ignored, and for each the path of a program,
// with arguments after spaces. Those after a word -- are for a container whose pod
// gives none, as an image's CMD is. Before the program there may be a folder: an
// unpacked image, which the program is in. A name with a digest is found by this
// digest only.
//
// Images out of a layout replace commands of the same name, and are found by their
// digests too.
func NewImages(commands map[string]string, unpacked []oci.Image) (*Images, error) {
	im := &Images{known: map[string]*image{}, pinned: map[string][]*image{}}
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		words := strings.Fields(commands[name])
		if len(words) == 0 {
			return nil, fmt.Errorf("image %s: no program", name)
		}
		st, err := os.Lstat(words[0]) // a link of the machine leads to the right place in containers only
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		i := &image{name: untagged(name), program: words[0], args: words[1:], size: uint64(st.Size())}
		switch below, host := strings.CutPrefix(words[0], hostFiles+"/"); {
		case host:
			i.files, i.program = hostFiles, "/"+below
		case st.IsDir() && len(words) > 1:
			i.files, i.program, i.args = words[0], words[1], words[2:]
		case st.IsDir():
			return nil, fmt.Errorf("image %s: a folder, and no program of it", name)
		}
		if at := slices.Index(i.args, "--"); at >= 0 {
			i.args, i.rest = i.args[:at], i.args[at+1:]
		}
		if _, digest, pinned := strings.Cut(name, "@"); pinned {
			i.digest = digest
			im.pinned[digest] = append(im.pinned[digest], i)
			continue
		}
		im.known[i.name] = i
	}
	for _, u := range unpacked {
		im.addUnpacked(u)
	}
	im.names = slices.Sorted(maps.Keys(im.known))
	im.addShortNames()
	return im, nil
}

func (im *Images) addUnpacked(u oci.Image) {
	i := &image{name: u.Name, files: u.Files, args: u.Entrypoint, rest: u.Cmd, env: u.Env, dir: u.WorkingDir, uid: u.UID,
		size: uint64(u.Size), digest: u.Digests[0], whole: true}
	im.known[i.name] = i
	for _, d := range u.Digests {
		im.pinned[d] = append(im.pinned[d], i)
	}
}

// addShortNames lets an image be found under any registry, where no other image
// has the same name.
func (im *Images) addShortNames() {
	short := map[string][]*image{}
	for _, name := range im.names {
		s := withoutRegistry(name)
		short[s] = append(short[s], im.known[name])
	}
	for s, images := range short {
		if _, taken := im.known[s]; !taken && len(images) == 1 {
			im.known[s] = images[0]
		}
	}
}

// untagged removes a tag and a digest: a colon after the last slash starts a tag.
func untagged(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}

// withoutRegistry removes the first part of a name if it is a host, as container
// engines decide that, and the "library" that they add.
func withoutRegistry(name string) string {
	host, rest, found := strings.Cut(name, "/")
	if found && (strings.ContainsAny(host, ".:") || host == "localhost") {
		name = rest
	}
	return strings.TrimPrefix(name, "library/")
}

// find returns nil for a name that is not mapped, and for a digest that no image is
// known to have. A digest is found under any registry and prefix: whoever pushed the
// image chose them.
func (im *Images) find(name string) *image {
	if _, digest, pinned := strings.Cut(name, "@"); pinned {
		for _, i := range im.pinned[digest] {
			if i.base() == path.Base(untagged(name)) {
				return i
			}
		}
		return nil
	}
	name = untagged(name)
	if i := im.known[name]; i != nil {
		return i
	}
	return im.known[withoutRegistry(name)]
}

// message describes an image to the kubelet, which asks for its user unless the pod
// names one.
func (i *image) message(asked string) *runtimeapi.Image {
	m := &runtimeapi.Image{Id: i.id(), RepoTags: []string{i.name + ":lab"}, Size: i.size,
		Uid: &runtimeapi.Int64Value{Value: ownUser}, Spec: &runtimeapi.ImageSpec{Image: i.name}, Pinned: true}
	if i.digest != "" {
		m.RepoDigests = []string{i.reference(asked)}
	}
	if i.uid != 0 {
		m.Uid.Value = i.uid
	}
	return m
}

// ImageStatus has no Image in its answer if the name is not mapped.
func (im *Images) ImageStatus(_ context.Context, spec *runtimeapi.ImageSpec, _ bool) (*runtimeapi.ImageStatusResponse, error) {
	if i := im.find(spec.GetImage()); i != nil {
		return &runtimeapi.ImageStatusResponse{Image: i.message(spec.GetImage())}, nil
	}
	return &runtimeapi.ImageStatusResponse{}, nil
}

// PullImage pulls nothing: an image is there, or the lab was not told about it.
func (im *Images) PullImage(_ context.Context, spec *runtimeapi.ImageSpec, _ *runtimeapi.AuthConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	if i := im.find(spec.GetImage()); i != nil {
		return i.id(), nil
	}
	asked := spec.GetUserSpecifiedImage()
	if asked == "" {
		asked = spec.GetImage()
	}
	if _, digest, pinned := strings.Cut(asked, "@"); pinned {
		return "", status.Errorf(codes.NotFound, "the lab has no image %q and pulls none: nothing in it is known to have the digest %s; "+
			"bring up the lab with the layout that has it: `tightrope lab up --image-layout DIR`, or say what is to run in its place: `--image %s=/path/of/program`",
			asked, digest, asked)
	}
	return "", status.Errorf(codes.NotFound, "the lab has no image %q and pulls none; it knows %s; map a program of this machine to it: `tightrope lab up --image %s=/path/of/program`",
		asked, strings.Join(im.names, ", "), untagged(asked))
}

// ListImages lists every mapped image; filters by name only.
func (im *Images) ListImages(_ context.Context, f *runtimeapi.ImageFilter) ([]*runtimeapi.Image, error) {
	var list []*runtimeapi.Image
	for _, name := range im.names {
		i := im.known[name]
		if want := f.GetImage().GetImage(); want == "" || im.find(want) == i {
			list = append(list, i.message(i.name))
		}
	}
	return list, nil
}

// RemoveImage refuses: the binaries are the user's.
func (im *Images) RemoveImage(_ context.Context, spec *runtimeapi.ImageSpec) error {
	return refused(fmt.Sprintf("removing image %s", spec.GetImage()))
}

// ImageFsInfo reports a file system that is never full: nothing is ever pulled.
func (im *Images) ImageFsInfo(context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
	fs := []*runtimeapi.FilesystemUsage{{Timestamp: time.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: "/"},
		UsedBytes: &runtimeapi.UInt64Value{}, InodesUsed: &runtimeapi.UInt64Value{}}}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: fs, ContainerFilesystems: fs}, nil
}

// Close does nothing.
func (im *Images) Close(context.Context) error { return nil }
