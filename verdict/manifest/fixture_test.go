package manifest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite golden files; commit only what you can explain")

// stories reads the stories of a folder, and fails if there are not that many.
func stories(t *testing.T, folder string, least int) map[string]*txtar.Archive {
	t.Helper()
	all := storiesOf(t, folder)
	if len(all) < least {
		t.Fatalf("only %d stories found in %s", len(all), folder)
	}
	return all
}

func storiesOf(t testing.TB, folder string) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d stories found in %s, %v", len(files), folder, err)
	}
	all := map[string]*txtar.Archive{}
	for _, file := range files {
		if all[file], err = txtar.ParseFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// unpack writes the story's files but for the last, which is what must follow,
// to a folder, and makes it the working directory.
func unpack(t *testing.T, story *txtar.Archive) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range story.Files[:len(story.Files)-1] {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// compare holds what came out against the story's last file, or rewrites that.
func compare(t *testing.T, file string, story *txtar.Archive, got string) {
	t.Helper()
	want := &story.Files[len(story.Files)-1].Data
	if *update {
		*want = []byte(got)
		if err := os.WriteFile(file, txtar.Format(story), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(*want) {
		t.Errorf("%sgot:\n%swant:\n%s", story.Comment, got, *want)
	}
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	full, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// dump writes a Set down for people.
func dump(s *Set) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, name := range sortedKeys(s.World.Namespaces) {
		line("namespace %s %v", name, s.World.Namespaces[name])
	}
	line("undeclared %v", s.Undeclared)
	for _, n := range s.World.Nodes {
		line("node %s %v %v", n.Name, n.Labels, n.IPs)
	}
	for _, p := range s.Objects.NetworkPolicies {
		line("policy %s at %s", p.Source, p.Position)
	}
	for _, p := range s.Objects.ClusterPolicies {
		line("policy %s at %s", p.Source, p.Position)
	}
	for _, f := range s.World.Foreign {
		line("foreign %s %q %s", f.Kind, f.Namespace, f.Name)
	}
	for _, w := range s.Workloads {
		line("workload %s at %q replicas=%d unfixed=%v template=%t", w.Source, w.Position, w.Replicas, w.Unfixed, w.Template != nil)
		for _, i := range w.Pods {
			p := s.Pods[i]
			line("  pod %s %v ips=%v ports=%v node=%q hostNetwork=%t", p.Key(), p.Labels, p.IPs, p.Ports, p.Node, p.HostNetwork)
		}
	}
	for _, service := range s.Services {
		line("service %s at %s selector=%v headless=%t", service.Source, service.Position, service.Selector, service.Headless)
		for _, port := range service.Ports {
			var on []string
			for _, i := range service.Pods {
				number, ok := port.On(&s.Pods[i])
				on = append(on, fmt.Sprintf("%s:%d/%t", s.Pods[i].Name, number, ok))
			}
			line("  port %s %d/%s -> %v", port.Name, port.Port, port.Protocol, on)
		}
	}
	for _, r := range s.Objects.Rollouts {
		line("rollout %s at %s", r.Source, r.Position)
		for _, c := range r.Candidates {
			line("  candidate %s at %s, podSelector at %s", c.Source, c.Position, c.Where("spec.podSelector"))
		}
	}
	for _, c := range s.Objects.Customs {
		line("custom %s into %q at %s", c.Source, c.Into, c.Position)
	}
	for _, m := range s.Objects.Monitors {
		line("monitor %s ofPods=%t namespaces=%v ports=%v prober=%s:%d targets=%v", m.Source, m.OfPods, m.Namespaces, m.Ports, m.Prober, m.ProberPort, m.Targets)
	}
	for _, e := range s.Objects.Entrances {
		line("entrance %s -> %s port %s class %q gateways %v", e.Source, e.Service, e.Port.String(), e.Class, e.Gateways)
	}
	for _, a := range s.Objects.Accounts {
		line("account %s %v", a.Source, a.Annotations)
	}
	for _, c := range s.Objects.Settings {
		line("settings %s %v", c.Source, c.Data)
	}
	for _, n := range s.Notes {
		line("note %s", n)
	}
	if len(s.Skipped) > 0 {
		line("skipped %v", s.Skipped)
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := []string{}
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// problems are those of an error, which has to be an *Error.
func problems(t *testing.T, err error) []Problem {
	t.Helper()
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Problems) == 0 {
		t.Fatalf("%v (%T) is no *Error with problems", err, err)
	}
	return bad.Problems
}

func jsonOf(t *testing.T, text []byte) []byte {
	t.Helper()
	raw, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
