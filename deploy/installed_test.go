package deploy

import (
	"reflect"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// deploymentOf is the Deployment that an installation with the options has.
func deploymentOf(t *testing.T, o Options) *appsv1.Deployment {
	t.Helper()
	objects, err := Manifests(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range objects {
		if x.GetKind() == "Deployment" {
			var d appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(x.Object, &d); err != nil {
				t.Fatal(err)
			}
			return &d
		}
	}
	t.Fatal("there is no Deployment")
	return nil
}

// What is not read back, an upgrade would drop: whoever adds an option says here that it
// is, or why it is not.
func TestWhatWasInstalledIsReadBack(t *testing.T) {
	elsewhere := []string{"NodeSelector", "Tolerations", "Ordinary", "Minor", "SingleTenant"} // of the controller's pod or the cluster; the last is below
	all := Options{
		Controller: "r.example:5000/a/controller@sha256:1", Agent: "r.example:5000/a/agent@sha256:2", Twin: "r.example:5000/a/twin@sha256:3",
		DropsPort: 7, Version: "v1.2.3", Memory: "1536Mi", PullSecrets: []string{"pull", "other"}, ProbePullSecrets: []string{"probes", "more"},
		ProbeNodeSelector: map[string]string{"pool": "a", "empty": ""}, ProbeTolerations: []string{"gpu=yes:NoSchedule", "spot"},
		Tenants: []string{"a", "b"},
	}
	for i := range reflect.TypeFor[Options]().NumField() {
		field := reflect.TypeFor[Options]().Field(i).Name
		if reflect.ValueOf(all).Field(i).IsZero() != slices.Contains(elsewhere, field) {
			t.Errorf("option %s is not tried", field)
		}
	}
	if got := Installed(deploymentOf(t, all)); !reflect.DeepEqual(got, all) {
		t.Errorf("%+v, want %+v", got, all)
	}
	single := Options{SingleTenant: true}.withDefaults()
	if got := Installed(deploymentOf(t, single)); !reflect.DeepEqual(got, single) {
		t.Errorf("%+v, want %+v", got, single)
	}
}

func TestTheRegistryOfTheImagesIsTold(t *testing.T) {
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, tt := range []struct{ controller, agent, twin, want string }{
		{"r.example/team/controller" + digest, "r.example/team/agent" + digest, "r.example/team/twin" + digest, "r.example/team"},
		{"localhost:5000/controller:v1", "localhost:5000/agent:v1", "localhost:5000/twin:v1" + digest, "localhost:5000"},
		{"r.example/a/controller", "r.example/b/agent", "r.example/a/twin", ""},
		{"r.example/a/ours", "r.example/a/agent", "r.example/a/twin", ""},
		{"controller", "agent", "twin", ""},
		{"tightrope.dev/controller", "tightrope.dev/agent", "tightrope.dev/twin", ""},
		{"tightrope.dev/controller:v1", "tightrope.dev/agent:v1", "tightrope.dev/twin:v1", ""},
		{"", "", "", ""},
	} {
		if got := (Options{Controller: tt.controller, Agent: tt.agent, Twin: tt.twin}).Registry(); got != tt.want {
			t.Errorf("%q, want %q of %+v", got, tt.want, tt)
		}
	}
}
