package install

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/tightrope-dev/tightrope/deploy"
)

// on is a cluster with a node of some container runtime, and a controller as the options
// have it; nil: none.
func on(t *testing.T, runtimeVersion string, was *deploy.Options) client.WithWatch {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	node.Status.NodeInfo.ContainerRuntimeVersion = runtimeVersion
	objects := []client.Object{node}
	if was != nil {
		all, err := deploy.Manifests(*was)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if o.GetKind() == "Deployment" {
				var d appsv1.Deployment
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
					t.Fatal(err)
				}
				objects = append(objects, &d)
			}
		}
	}
	return fake.NewClientBuilder().WithObjects(objects...).Build()
}

// inRegistry are images by program, as a release knows them.
func inRegistry(registry, digest string) map[string]string {
	return map[string]string{"controller": registry + "/controller@" + digest, "agent": registry + "/agent@" + digest, "twin": registry + "/twin@" + digest}
}

func imagesOf(o deploy.Options) [3]string { return [3]string{o.Controller, o.Agent, o.Twin} }

func threeOf(names map[string]string) [3]string {
	return [3]string{names["controller"], names["agent"], names["twin"]}
}

func with(names map[string]string, version string) *deploy.Options {
	return &deploy.Options{Controller: names["controller"], Agent: names["agent"], Twin: names["twin"], Version: version}
}

// What is not said again is as it was; what is said is as it is said, and what is said to
// be empty is.
func TestAnUpgradeKeepsWhatIsNotSaidAgain(t *testing.T) {
	was := with(inRegistry("r.example/team", "old"), "v1")
	was.PullSecrets, was.ProbePullSecrets, was.DropsPort, was.Memory = []string{"pull"}, []string{"probes"}, 7, "1Gi"
	was.ProbeNodeSelector, was.ProbeTolerations, was.Tenants = map[string]string{"pool": "a"}, []string{"gpu=yes:NoSchedule"}, []string{"b"}
	known := func(registry string) (map[string]string, error) { return inRegistry(registry, "new"), nil }
	upgraded := func(o deploy.Options) deploy.Options {
		t.Helper()
		o.Version = "v2"
		i := &installer{Options: Options{Deploy: o, Images: known, Registry: "default.example"}, journal: journal{c: on(t, "containerd://2", was)}}
		if err := i.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, x := range i.objects {
			if x.GetKind() == "Deployment" {
				var d appsv1.Deployment
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(x.Object, &d); err != nil {
					t.Fatal(err)
				}
				return deploy.Installed(&d)
			}
		}
		t.Fatal("no Deployment would be applied")
		return deploy.Options{}
	}
	want := *was
	want.Version = "v2"
	want.Controller, want.Agent, want.Twin = "r.example/team/controller@new", "r.example/team/agent@new", "r.example/team/twin@new"
	if got := upgraded(deploy.Options{}); !reflect.DeepEqual(got, want) {
		t.Errorf("nothing said: %+v, want %+v", got, want)
	}
	said := *with(inRegistry("other.example", "new"), "v2")
	said.PullSecrets, said.ProbePullSecrets, said.DropsPort, said.Memory = []string{"p"}, []string{"q"}, 8, "2Gi"
	said.ProbeNodeSelector, said.ProbeTolerations, said.Tenants = map[string]string{"x": "y"}, []string{"t"}, []string{"a"}
	want = said
	want.Tenants = []string{"a", "b"}
	if got := upgraded(said); !reflect.DeepEqual(got, want) {
		t.Errorf("all said: %+v, want %+v", got, want)
	}
	got := upgraded(deploy.Options{PullSecrets: []string{}, ProbePullSecrets: []string{}, ProbeNodeSelector: map[string]string{}, ProbeTolerations: []string{}})
	if len(got.PullSecrets)+len(got.ProbePullSecrets)+len(got.ProbeNodeSelector)+len(got.ProbeTolerations) != 0 {
		t.Errorf("all removed: %+v", got)
	}
}

// An image that no node can pull is no image: where it is not known from where, nothing
// is tried.
func TestImagesAreThoseOfTheRegistryThatIsKnown(t *testing.T) {
	const lab, other = "lab://1.0.0", "containerd://2.0.0"
	unknown := errors.New("no images")
	team, own := inRegistry("r.example/team", "old"), map[string]string{"controller": "elsewhere.example/ours", "agent": "a.example/agent", "twin": "a.example/twin"}
	loaded := map[string]string{"controller": "tightrope.dev/controller:v2", "agent": "tightrope.dev/agent:v2", "twin": "tightrope.dev/twin:v2"}
	labs := map[string]string{"controller": deploy.LabController, "agent": "tightrope.dev/agent", "twin": "tightrope.dev/twin"}
	for _, tt := range []struct {
		name, node string
		was        *deploy.Options
		o          Options
		want       map[string]string // nil: refused
	}{
		{"the registry that is there", other, with(team, "v1"), Options{Registry: "default.example"}, inRegistry("r.example/team", "new")},
		{"the same version again", other, with(team, "v2"), Options{}, inRegistry("r.example/team", "new")},
		{"digests that are not known, of the same version", other, with(team, "v2"), Options{Images: func(string) (map[string]string, error) { return nil, unknown }}, team},
		{"digests that are not known", other, with(team, "v1"), Options{Images: func(string) (map[string]string, error) { return nil, unknown }}, nil},
		{"no registry to tell", other, with(own, "v1"), Options{}, nil},
		{"no registry to tell, and a default", other, with(own, "v1"), Options{Registry: "default.example"}, inRegistry("default.example", "new")},
		{"no registry to tell, and it is asked for", other, with(own, "v1"), Options{Deploy: *with(team, "")}, team},
		{"loaded onto the nodes", other, with(loaded, "v2"), Options{}, loaded},
		{"another version was loaded onto the nodes", other, with(loaded, "v1"), Options{}, nil},
		{"names of the lab", other, with(labs, "v1"), Options{}, nil},
		{"names of the lab again", other, with(labs, "v2"), Options{}, nil},
		{"names of the lab on the lab", lab, with(labs, "v1"), Options{}, map[string]string{}},
		{"nothing there", other, nil, Options{}, nil},
		{"nothing there, and a default", other, nil, Options{Registry: "default.example"}, inRegistry("default.example", "new")},
		{"nothing there, and the names of the lab asked for", other, nil, Options{Deploy: *with(labs, "")}, nil},
		{"nothing on the lab", lab, nil, Options{}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Deploy.Version = "v2"
			if tt.o.Images == nil {
				tt.o.Images = func(registry string) (map[string]string, error) { return inRegistry(registry, "new"), nil }
			}
			i := &installer{Options: tt.o, journal: journal{c: on(t, tt.node, tt.was)}}
			act := i.begin
			if tt.was != nil {
				act = i.keep
			}
			err := act(t.Context())
			switch {
			case tt.want == nil:
				if !errors.Is(err, ErrImages) || !Refused(err) || !errors.Is(err, unknown) && !strings.Contains(err.Error(), "--registry") {
					t.Errorf("it says %v", err)
				}
			case err != nil:
				t.Error(err)
			case imagesOf(i.Deploy) != threeOf(tt.want):
				t.Errorf("%q, want %q", imagesOf(i.Deploy), threeOf(tt.want))
			}
		})
	}
}
