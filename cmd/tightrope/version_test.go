package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// stamped is the program as if it had been built in a version.
func stamped(t *testing.T, version, of string) {
	t.Helper()
	was, wasOf := lab.Stamp, commit
	lab.Stamp, commit = version, of
	t.Cleanup(func() { lab.Stamp, commit = was, wasOf })
}

// alone makes sure that no kubeconfig names a cluster.
func alone(t *testing.T) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
}

func TestVersionTellsReleasesFromOtherBuilds(t *testing.T) {
	for version, release := range map[string]bool{
		"v1.2.3": true, "v0.1.0": true, "v1.2.3-rc.1": true, "dev": false, "": false, "cbfabba12345": false, "cbfabba12345-dirty": false,
		"v1.2.3-dirty": false, "v0.0.0-20261130100000-cbfabba12345": false, "v1.2": false,
	} {
		if got := isRelease(version); got != release {
			t.Errorf("%q: a release: %t", version, got)
		}
	}
}

func TestVersionOfAProgramAlone(t *testing.T) {
	alone(t)
	stamped(t, "v1.2.3", "abc")
	want := "Client Version: v1.2.3\nCommit: abc\nGo Version: " + runtime.Version() + "\nPlatform: " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	for _, args := range [][]string{{"version", "--client"}, {"version"}} {
		out, _ := says(t, exitOK, args...)
		if !strings.HasPrefix(out, want) || strings.Contains(out, "Controller") {
			t.Errorf("%v: %q, want %q", args, out, want)
		}
	}
	for _, format := range []string{"json", "yaml"} {
		out, _ := says(t, exitOK, "version", "-o", format)
		var got versions
		var err error
		if format == "json" {
			err = json.Unmarshal([]byte(out), &got)
		} else {
			err = yaml.UnmarshalStrict([]byte(out), &got)
		}
		if c := got.Client; err != nil || c.GitVersion != "v1.2.3" || c.GitCommit != "abc" || !c.Release || c.GoVersion != runtime.Version() || got.Controller != nil {
			t.Errorf("-o %s: %v: %s", format, err, out)
		}
	}
	stamped(t, "dev", "")
	out, _ := says(t, exitOK, "version", "--client")
	contains(t, out, "Client Version: dev (development build)")
}

// withController is a kubeconfig of an API server that has a controller of a version; empty:
// none. It answers everything else with 404.
func withController(t *testing.T, version string) string {
	t.Helper()
	answers := map[string]string{
		"/version": `{"major":"1","minor":"37","gitVersion":"v1.37.2"}`,
		"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],` +
			`"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}`,
		"/apis/apps/v1": `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":[` +
			`{"name":"deployments","singularName":"deployment","namespaced":true,"kind":"Deployment","verbs":["get"]}]}`,
	}
	if version != "" {
		answers["/apis/apps/v1/namespaces/tightrope-system/deployments/tightrope-controller"] = `{"kind":"Deployment","apiVersion":"apps/v1",` +
			`"metadata":{"name":"tightrope-controller","namespace":"tightrope-system","labels":{"app.kubernetes.io/version":"` + version + `"}}}`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return kubeconfigOf(t, server.URL)
}

func kubeconfigOf(t *testing.T, address string) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: address}
	c.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	c.CurrentContext = "c"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVersionAsksTheCluster(t *testing.T) {
	stamped(t, "v1.2.3", "abc")
	for name, tt := range map[string]struct{ there, says, warns string }{
		"the same version": {"v1.2.3", "Controller Version: v1.2.3\n", ""},
		"another version":  {"v1.1.0", "Controller Version: v1.1.0\n", "WARNING: the controller is of version v1.1.0 and this program of v1.2.3"},
		"none":             {"", "Controller Version: not installed\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, warned := says(t, exitOK, "version", "--kubeconfig", withController(t, tt.there))
			contains(t, out, "Client Version: v1.2.3\n", tt.says)
			if tt.warns == "" && warned != "" || !strings.Contains(warned, tt.warns) {
				t.Errorf("stderr %q, want %q", warned, tt.warns)
			}
		})
	}
}

// A cluster that does not answer is no cluster without a controller.
func TestVersionOfAClusterThatDoesNotAnswer(t *testing.T) {
	stamped(t, "v1.2.3", "abc")
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	out, failed := says(t, exitInconclusive, "version", "--kubeconfig", kubeconfigOf(t, server.URL))
	contains(t, out, "Client Version: v1.2.3\n")
	contains(t, failed, "version of the controller", "cannot be reached")
	if strings.Contains(out, "Controller Version") {
		t.Errorf("it says of the controller: %s", out)
	}
	alone(t)
	says(t, exitInconclusive, "version", "--kubeconfig", filepath.Join(t.TempDir(), "none"))
	says(t, exitUsage, "version", "-o", "xml")
	says(t, exitUsage, "version", "--client", "--context", "x")
	if _, err := os.Stat(os.Getenv("KUBECONFIG")); err == nil {
		t.Error("the kubeconfig that is not there was made")
	}
}
