package existing

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/client-go/rest"
)

// What may not be listed, and what there is not, is no reason to fail: no verdict
// depends on it. What does not answer is.
func TestCallersAreListedAsFarAsTheyMayBe(t *testing.T) {
	status := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch code := status[r.URL.Path]; {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s", r.Method, r.URL.Path)
		case code != 0:
			w.WriteHeader(code)
			reply(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": %d, "reason": %q}`, code, map[int]string{403: "Forbidden", 404: "NotFound", 500: "InternalError"}[code])
		case r.URL.Path == "/apis/apiextensions.k8s.io/v1/customresourcedefinitions":
			reply(w, `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinitionList", "items": [
				{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a"}, "spec": {"versions": [{"name": "v1"}], "conversion": {"strategy": "None"}}}]}`)
		default:
			reply(w, `{"apiVersion": "v1", "kind": "List", "items": []}`)
		}
	}))
	t.Cleanup(server.Close)
	cfg := &rest.Config{Host: server.URL, QPS: -1}
	status["/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"] = http.StatusForbidden
	status["/apis/apiregistration.k8s.io/v1/apiservices"] = http.StatusNotFound
	var l Lists
	if err := l.ListCallers(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if len(l.Callers) != 1 || l.Callers[0].GetName() != "a" || !slices.Equal(l.Unlisted, []string{"mutatingwebhookconfigurations.admissionregistration.k8s.io"}) {
		t.Errorf("callers %v, unlisted %v", l.Callers, l.Unlisted)
	}
	if spec := l.Callers[0].Object["spec"].(map[string]any); spec["versions"] != nil || spec["conversion"] == nil {
		t.Errorf("of a definition %v is kept", spec)
	}
	status["/apis/apiregistration.k8s.io/v1/apiservices"] = http.StatusInternalServerError
	if err := l.ListCallers(t.Context(), cfg); err == nil {
		t.Error("a resource that does not answer is passed over")
	}
}
