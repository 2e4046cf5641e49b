package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rules is what roles grant, a line for each resource, sorted.
func rules(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	var out []string
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		var role struct {
			Rules []struct{ APIGroups, Resources, ResourceNames, Verbs, NonResourceURLs []string }
		}
		raw, err := o.MarshalJSON()
		if err := errors.Join(err, json.Unmarshal(raw, &role)); err != nil {
			t.Fatal(err)
		}
		for _, r := range role.Rules {
			for _, path := range r.NonResourceURLs {
				out = append(out, fmt.Sprintf("%s %s: path %s: %s", o.GetKind(), name(o), path, strings.Join(slices.Sorted(slices.Values(r.Verbs)), " ")))
			}
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					what := strings.TrimSuffix(resource+"."+group, ".")
					if len(r.ResourceNames) > 0 {
						what += " " + strings.Join(r.ResourceNames, ",")
					}
					out = append(out, fmt.Sprintf("%s %s: %s: %s", o.GetKind(), name(o), what, strings.Join(slices.Sorted(slices.Values(r.Verbs)), " ")))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func name(o *unstructured.Unstructured) string {
	return strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// bindings says who has which role, and where.
func bindings(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	var out []string
	for _, o := range objects {
		if o.GetKind() != "ClusterRoleBinding" && o.GetKind() != "RoleBinding" {
			continue
		}
		kind, _, _ := unstructured.NestedString(o.Object, "roleRef", "kind")
		role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		subjects, _, _ := unstructured.NestedSlice(o.Object, "subjects")
		for _, raw := range subjects {
			s := raw.(map[string]any)
			out = append(out, fmt.Sprintf("%s %s: %s %s: %s %v/%s", o.GetKind(), name(o), kind, role, s["kind"], s["namespace"], s["name"]))
		}
	}
	slices.Sort(out)
	return out
}

// Every right that anybody gets, as a table in testdata: one that is widened shows in a
// review. To change it is a decision, so nothing writes these files but a person.
func TestTheRightsAreExactlyThese(t *testing.T) {
	for file, options := range map[string]Options{
		"single":      {SingleTenant: true},
		"tenants":     {Tenants: []string{"team-a"}, Minor: 35},
		"constrained": {Tenants: []string{"team-a"}, Minor: 36},
	} {
		t.Run(file, func(t *testing.T) {
			objects, err := Manifests(options)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Concat(rules(t, objects), bindings(t, objects))
			raw, err := os.ReadFile(filepath.Join("testdata", "rights", file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(raw)), "\n")
			if len(want) < 20 {
				t.Fatalf("%d lines: the table is cut", len(want))
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("a right that the table has not: %s", line)
				}
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("a right of the table that nobody gets: %s", line)
				}
			}
		})
	}
}

// Whatever is asked for, these are never granted.
func TestWhatNobodyEverGets(t *testing.T) {
	for _, options := range []Options{{SingleTenant: true}, {}, {Tenants: []string{"a", "b"}}, {Tenants: []string{"a"}, Minor: 36}} {
		objects, err := Manifests(options)
		if err != nil {
			t.Fatal(err)
		}
		all := rules(t, objects)
		if len(all) < 20 {
			t.Fatalf("%d rules: the test looks in the wrong place", len(all))
		}
		for _, line := range all {
			what, verbs, _ := strings.Cut(line[strings.Index(line, ": ")+2:], ": ")
			for _, never := range []string{"secrets", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/portforward", "nodes/proxy", "serviceaccounts/token"} {
				if what == never {
					t.Errorf("%+v: %s", options, line)
				}
			}
			cluster := strings.HasPrefix(line, "ClusterRole")
			for _, verb := range strings.Fields(verbs) {
				switch {
				case verb == "*", verb == "bind", verb == "escalate", verb == "deletecollection", strings.Contains(what, "*"), strings.Contains(what, "rbac.authorization"):
					t.Errorf("%+v: %s", options, line)
				case strings.HasPrefix(verb, "impersonate") && !strings.HasPrefix(verb, "impersonate-on:") && (cluster || !strings.HasSuffix(what, " "+TenantAccount)):
					t.Errorf("%+v: whom to impersonate is not said: %s", options, line)
				}
			}
		}
	}
}

// With tenants, what lets the controller write forward is bound nowhere but in its own
// namespace and those of tenants.
func TestOnlyASingleTenantsControllerWritesForwardEverywhere(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    bool
	}{{Options{SingleTenant: true}, true}, {Options{Tenants: []string{"a"}}, false}, {Options{}, false}} {
		objects, err := Manifests(tt.options)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(bindings(t, objects), func(line string) bool {
			return strings.HasPrefix(line, "ClusterRoleBinding") && strings.Contains(line, "ClusterRole tightrope-target:")
		})
		if got != tt.want {
			t.Errorf("%+v: the controller may write forward everywhere: %v, want %v", tt.options, got, tt.want)
		}
		flag := slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool {
			raw, _ := o.MarshalJSON()
			return o.GetKind() == "Deployment" && strings.Contains(string(raw), SingleTenantFlag)
		})
		if flag != tt.want {
			t.Errorf("%+v: the controller takes rollouts without an account: %v, want %v", tt.options, flag, tt.want)
		}
	}
}

// The roles for people are part of the built-in ones only where an author's rights are
// those of an account.
func TestRolesForPeople(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    map[string]string
	}{
		{Options{}, map[string]string{"tightrope-viewer": "view", "tightrope-operator": "edit"}},
		{Options{SingleTenant: true}, map[string]string{}},
	} {
		objects, err := Manifests(tt.options)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, o := range objects {
			for key := range o.GetLabels() {
				if role, ok := strings.CutPrefix(key, "rbac.authorization.k8s.io/aggregate-to-"); ok {
					got[o.GetName()] += role
				}
			}
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("%+v: aggregated are %v, want %v", tt.options, got, tt.want)
		}
	}
}

func TestTenantsThatCannotBeKeptApartAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		says    string // empty: it is fine
	}{
		{"an old cluster", Options{Minor: 29, Tenants: []string{"a"}}, "Kubernetes 1.29 cannot keep them apart: that takes ValidatingAdmissionPolicy, which is there from 1.30 on"},
		{"an old cluster, and nothing asked for", Options{Minor: 29}, "--single-tenant"},
		{"an old cluster with one", Options{Minor: 29, SingleTenant: true}, ""},
		{"one that is new enough", Options{Minor: 30, Tenants: []string{"a"}}, ""},
		{"both", Options{SingleTenant: true, Tenants: []string{"a"}}, "not both"},
		{"our own namespace", Options{Tenants: []string{"tightrope-system"}}, "no rollout may be made there"},
		{"no name", Options{Tenants: []string{"A/b"}}, "is no name of a namespace"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, err := Manifests(tt.options)
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (!errors.Is(err, ErrTenancy) || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("it says %v, want %q", err, tt.says)
			}
			admission := slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ValidatingAdmissionPolicy" })
			if tt.says == "" && admission != (tt.options.Minor >= 30) {
				t.Errorf("Kubernetes 1.%d gets admission policies: %v", tt.options.Minor, admission)
			}
		})
	}
}
