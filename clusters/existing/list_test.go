package existing

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// api is an API server of a few canned lists. It speaks JSON only, pages, and
// notes what it was asked.
type api struct {
	objects   map[string][]string // by path: names of the objects
	groups    map[string][]string // by group/version: kind/resource
	forbidden string              // path
	asked     []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	path := strings.Trim(r.URL.Path, "/")
	group := strings.TrimPrefix(path, "apis/")
	names, known := a.objects[path]
	switch {
	case path == "api":
		reply(w, `{"kind": "APIVersions", "versions": ["v1"]}`)
	case path == "apis":
		a.replyGroups(w)
	case a.groups[group] != nil:
		a.replyResources(w, group)
	case path == a.forbidden:
		w.WriteHeader(http.StatusForbidden)
		reply(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "%s is forbidden"}`, path)
	case !known:
		reply(w, `{%s "metadata": {}, "items": []}`, kind(r))
	default:
		replyPage(w, kind(r), names, r.URL.Query().Get("continue"))
	}
}

// kind is what a reply begins with where the client asks for metadata only.
func kind(r *http.Request) string {
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
		return `"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",`
	}
	return ""
}

// replyPage gives one object a page.
func replyPage(w http.ResponseWriter, kind string, names []string, from string) {
	i := slices.Index(names, from) + 1
	next := ""
	if i+1 < len(names) {
		next = names[i]
	}
	ns, name, _ := strings.Cut(names[i], "/")
	reply(w, `{%s "metadata": {"continue": %q}, "items": [{"metadata": {"namespace": %q, "name": %q}}]}`, kind, next, ns, name)
}

func (a *api) replyGroups(w http.ResponseWriter) {
	groups := []map[string]any{}
	for gv := range a.groups {
		name, _, _ := strings.Cut(gv, "/")
		one := map[string]string{"groupVersion": gv}
		i := slices.IndexFunc(groups, func(g map[string]any) bool { return g["name"] == name })
		if i < 0 {
			groups = append(groups, map[string]any{"name": name, "versions": []any{one}, "preferredVersion": one})
			continue
		}
		groups[i]["versions"] = append(groups[i]["versions"].([]any), one)
	}
	raw, _ := json.Marshal(map[string]any{"kind": "APIGroupList", "groups": groups})
	_, _ = w.Write(raw)
}

func (a *api) replyResources(w http.ResponseWriter, gv string) {
	resources := []any{}
	for _, kind := range a.groups[gv] {
		name := strings.ToLower(kind)
		resources = append(resources, map[string]any{"name": strings.TrimSuffix(name, "y") + "ies", "kind": kind, "verbs": []string{"list", "get"}})
	}
	raw, _ := json.Marshal(map[string]any{"kind": "APIResourceList", "groupVersion": gv, "resources": resources})
	_, _ = w.Write(raw)
}

func reply(w http.ResponseWriter, format string, args ...any) { fmt.Fprintf(w, format, args...) }

func list(t *testing.T, a *api) (Lists, error) {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return List(context.Background(), &rest.Config{Host: server.URL, QPS: -1})
}

func TestListReadsEveryPageAndWritesNothing(t *testing.T) {
	a := &api{
		objects: map[string][]string{
			"api/v1/pods":       {"ai/a", "ai/b", "apps/c"},
			"api/v1/namespaces": {"/ai"},
			"apis/networking.k8s.io/v1/networkpolicies":                     {"ai/p"},
			"apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies": {"/top", "/base"},
			"apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies":   {"/old"},
			"apis/cilium.io/v2/ciliumnetworkpolicies":                       {"ai/x", "ai/y"},
		},
		groups: map[string][]string{
			"policy.networking.k8s.io/v1alpha2": {"ClusterNetworkPolicy"},
			"policy.networking.k8s.io/v1beta1":  {"ClusterNetworkPolicy"},
			"policy.networking.k8s.io/v1alpha1": {"AdminNetworkPolicy"},
			"cilium.io/v2":                      {"CiliumNetworkPolicy", "CiliumIdentity"},
			"example.com/v1":                    {"NetworkPolicy"},
		},
	}
	l, err := list(t, a)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Pods) != 3 || l.Pods[2].Name != "c" || len(l.Namespaces) != 1 || len(l.NetworkPolicies) != 1 || len(l.ClusterPolicies) != 2 {
		t.Errorf("%d pods, %d namespaces, %d policies, %d cluster policies", len(l.Pods), len(l.Namespaces), len(l.NetworkPolicies), len(l.ClusterPolicies))
	}
	var foreign []string
	for _, p := range l.Foreign {
		foreign = append(foreign, fmt.Sprintf("%s %s %s/%s", p.APIVersion, p.Kind, p.Namespace, p.Name))
	}
	slices.Sort(foreign)
	want := "cilium.io/v2 CiliumNetworkPolicy ai/x, cilium.io/v2 CiliumNetworkPolicy ai/y, policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy /old"
	if got := strings.Join(foreign, ", "); got != want {
		t.Errorf("foreign policies %s, want %s", got, want)
	}
	for _, request := range a.asked {
		if !strings.HasPrefix(request, "GET ") {
			t.Errorf("%s: only GET reads", request)
		}
	}
}

// A cluster of a later network-policy-api may serve v1beta1 only.
func TestClusterNetworkPoliciesOfV1beta1AreRead(t *testing.T) {
	l, err := list(t, &api{
		objects: map[string][]string{"apis/policy.networking.k8s.io/v1beta1/clusternetworkpolicies": {"/top", "/base"}},
		groups:  map[string][]string{"policy.networking.k8s.io/v1beta1": {"ClusterNetworkPolicy"}},
	})
	if err != nil || len(l.Foreign) > 0 || len(l.ClusterPolicies) != 2 || l.ClusterPolicies[0].Name != "top" {
		t.Errorf("%v, %+v", err, l)
	}
}

func TestAClusterWithoutClusterNetworkPolicyIsRead(t *testing.T) {
	l, err := list(t, &api{objects: map[string][]string{"api/v1/pods": {"ai/a"}}})
	if err != nil || len(l.Pods) != 1 || l.ClusterPolicies != nil || l.Foreign != nil {
		t.Errorf("%v, %+v", err, l)
	}
}

func TestAMissingRightIsNamed(t *testing.T) {
	_, err := list(t, &api{forbidden: "apis/networking.k8s.io/v1/networkpolicies"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"list networkpolicies.networking.k8s.io in all namespaces", "is forbidden", "grant the verb list on networkpolicies.networking.k8s.io"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestAGroupThatDoesNotAnswerIsAnError(t *testing.T) {
	// Its policies may deny anything: a matrix without them would be wrong.
	_, err := list(t, &api{
		groups:    map[string][]string{"cilium.io/v2": {"CiliumNetworkPolicy"}},
		forbidden: "apis/cilium.io/v2/ciliumnetworkpolicies",
	})
	if err == nil || !strings.Contains(err.Error(), "list ciliumnetworkpolicies.cilium.io in all namespaces") {
		t.Errorf("got %v", err)
	}
}
