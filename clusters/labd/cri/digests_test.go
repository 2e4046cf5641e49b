package cri

import (
	"context"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/container"
	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
)

var (
	indexDigest    = "sha256:" + strings.Repeat("1", 64)
	manifestDigest = "sha256:" + strings.Repeat("2", 64)
	mappedDigest   = "sha256:" + strings.Repeat("3", 64)
	otherDigest    = "sha256:" + strings.Repeat("4", 64)
)

// laidOut are images of a layout with an agent, beside mapped ones.
func laidOut(t *testing.T) *Images {
	t.Helper()
	program := "/proc/self/exe"
	im, err := NewImages(map[string]string{"tightrope.dev/agent": program, "tightrope.dev/twin": program, "quay.io/redis@" + mappedDigest: program + " serve"},
		[]oci.Image{{Name: "tightrope.dev/agent", Digests: []string{indexDigest, manifestDigest}, Files: "/images/agent", Entrypoint: []string{"/agent", "run"},
			Cmd: []string{"-v"}, Env: []string{"A=image", "B=image"}, WorkingDir: "/work", UID: 65532, Size: 7}})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestADigestRunsWhatHasIt(t *testing.T) {
	im := laidOut(t)
	for asked, want := range map[string]string{
		"registry.example/team/agent@" + indexDigest:   "/images/agent",
		"localhost:5000/agent@" + manifestDigest:       "/images/agent",
		"tightrope.dev/agent:v1@" + indexDigest:        "/images/agent",
		"agent@" + indexDigest:                         "/images/agent",
		"registry.example/agent:v1":                    "/images/agent",
		"agent":                                        "/images/agent",
		"registry.example/team/twin@" + indexDigest:    "", // the agent's
		"registry.example/team/agent@" + otherDigest:   "",
		"registry.example/team/agent@" + mappedDigest:  "", // that of redis
		"registry.example/team/agent@":                 "",
		"registry.example/team/agent@sha256:":          "",
		"registry.example/team/twin@" + otherDigest:    "", // mapped: who knows
		"registry.example/twin:v1":                     "/proc/self/exe",
		"quay.io/redis@" + mappedDigest:                "/proc/self/exe",
		"mirror.example/quay.io/redis@" + mappedDigest: "/proc/self/exe",
		"quay.io/redis:7":                              "", // mapped by its digest only
		"quay.io/redis@" + indexDigest:                 "",
	} {
		got := ""
		if i := im.find(asked); i != nil {
			got = i.files + i.program
		}
		if got != want {
			t.Errorf("%s runs %q, want %q", asked, got, want)
		}
	}
}

// The kubelet asks by name, is told an ID, and starts a container by the ID.
func TestTheKubeletFindsAnImageAgainByItsID(t *testing.T) {
	im := laidOut(t)
	for asked, want := range map[string]string{
		"registry.example/team/agent@" + manifestDigest: "tightrope.dev/agent@" + indexDigest,
		"agent:v1":                      "tightrope.dev/agent@" + indexDigest,
		"twin:v1":                       "tightrope.dev/twin",
		"quay.io/redis@" + mappedDigest: "quay.io/redis@" + mappedDigest,
	} {
		spec := &runtimeapi.ImageSpec{Image: asked}
		pulled, err := im.PullImage(context.Background(), spec, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", asked, err)
			continue
		}
		status, err := im.ImageStatus(context.Background(), spec, false)
		if err != nil || pulled != want || status.GetImage().GetId() != want || im.find(want) != im.find(asked) {
			t.Errorf("%s: ID %q, pulled %q, want %q: %v", asked, status.GetImage().GetId(), pulled, want, err)
		}
	}
	status, err := im.ImageStatus(context.Background(), &runtimeapi.ImageSpec{Image: "r.example/a/agent@" + indexDigest}, false)
	if m := status.GetImage(); err != nil || m.GetUid().GetValue() != 65532 || !slices.Equal(m.GetRepoDigests(), []string{"r.example/a/agent@" + indexDigest}) {
		t.Errorf("%v: %v", m, err)
	}
}

func TestAnUnknownDigestIsNamedWithTheWayOn(t *testing.T) {
	asked := "registry.example/agent@" + otherDigest
	_, err := laidOut(t).PullImage(context.Background(), &runtimeapi.ImageSpec{Image: asked}, nil, nil)
	for _, want := range []string{asked, "--image-layout", "--image " + asked + "="} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %s in it", err, want)
		}
	}
}

func TestAnImageOfALayoutRunsAsItsConfigurationSays(t *testing.T) {
	im := laidOut(t)
	spec := func(c *runtimeapi.ContainerConfig) *container.Spec {
		p := &process{config: c, image: im.find("agent"), sandbox: &sandbox{config: &runtimeapi.PodSandboxConfig{}}}
		return p.spec("/root")
	}
	s := spec(&runtimeapi.ContainerConfig{})
	if s.Host != "/images/agent" || s.Binary != "" || s.Dir != "/work" || !slices.Equal(s.Argv, []string{"/agent", "run", "-v"}) ||
		!slices.Equal(s.Env, []string{"A=image", "B=image"}) {
		t.Errorf("%+v", s)
	}
	s = spec(&runtimeapi.ContainerConfig{Args: []string{"-q"}, WorkingDir: "/", Envs: []*runtimeapi.KeyValue{{Key: "A", Value: []byte("pod")}}})
	if s.Dir != "/" || !slices.Equal(s.Argv, []string{"/agent", "run", "-q"}) || !slices.Equal(s.Env, []string{"B=image", "A=pod"}) {
		t.Errorf("%+v", s)
	}
	if s = spec(&runtimeapi.ContainerConfig{Command: []string{"/other"}}); !slices.Equal(s.Argv, []string{"/other"}) {
		t.Errorf("%+v", s)
	}
}
