package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/tightrope-dev/tightrope/deploy"
)

// What an installation starts the controller with are flags that it knows: it gets as
// far as looking for a cluster, and there is none.
func TestTheControllerKnowsTheFlagsItIsStartedWith(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	objects, err := deploy.Manifests(deploy.Options{SingleTenant: true, DropsPort: 1, ProbePullSecrets: []string{"a", "b"},
		ProbeNodeSelector: map[string]string{"pool": "a", "os": "linux"}, ProbeTolerations: []string{"gpu=yes:NoSchedule", "spot"}})
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
		if err != nil || len(args) != 10 {
			t.Fatalf("arguments %q, %v", args, err)
		}
		var stderr bytes.Buffer
		if code := run(t.Context(), args, &stderr); code != 1 {
			t.Errorf("exit code %d, want 1, as without a cluster: %s", code, &stderr)
		}
		seen = true
		if code := run(t.Context(), append(args, "--no-flag"), &stderr); code != 4 {
			t.Errorf("exit code %d of a flag that is none, want 4", code)
		}
	}
	if !seen {
		t.Error("no Deployment")
	}
}

// Whoever reaches the port for metrics with a token of his own invention each time makes
// the controller ask the API server no faster than it asks by itself.
func TestQuestionsAboutWhoWantsMetricsAreThrottled(t *testing.T) {
	var asked atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {"authenticated": false}}`)
	}))
	defer api.Close()
	cfg := &rest.Config{Host: api.URL, QPS: -1}
	filter, err := metricsOptions(":0").FilterProvider(cfg, api.Client())
	if err != nil {
		t.Fatal(err)
	}
	handler, err := filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was served") }))
	if err != nil {
		t.Fatal(err)
	}
	const requests = 60
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil)
			r.Header.Set("Authorization", fmt.Sprint("Bearer invented-", i))
			handler.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	all.Wait()
	most := 10 + 5*int64(time.Since(began)/time.Second+1)
	if n := asked.Load(); n == 0 || n > most {
		t.Errorf("the API server was asked %d times, want at most %d", n, most)
	}
	if cfg.QPS != -1 {
		t.Error("the controller's own requests are throttled")
	}
}
