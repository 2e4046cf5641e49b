package dataplane

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bugs are mistakes that a compiler of policies can make: a text in a file of
// package compile, and what would be wrong there.
var bugs = []struct{ name, file, right, wrong string }{
	{"egress rules alone do not isolate", "policies.go",
		"return d == ingress || len(p.Spec.Egress) > 0", "return d == ingress"},
	{"what lies behind an except is lost", "blocks.go",
		"if cut.last.Less(r.last) {", "if false {"},
	{"endPort is not part of its range", "rules.go",
		"last = *port.EndPort", "last = max(first, *port.EndPort-1)"},
	{"a namespaceSelector silences the podSelector beside it", "peers.go",
		"if pods.Matches(labels.Set(p.Labels)) {", "if peer.NamespaceSelector != nil || pods.Matches(labels.Set(p.Labels)) {"},
	{"a podSelector alone means every namespace", "lists.go",
		"return l.all || l.own == namespace", "return true"},
	{"pods of a namespace that is selected from now on are forgotten", "lists.go",
		"if was == is {", "if was == is || is {"},
	{"a named port is one of any protocol", "rules.go",
		"has == proto && port.Name == name", "has != 0 && port.Name == name"},
	{"labels of a pod on the host's network count", "pods.go",
		"p == nil || p.Spec.HostNetwork ||", "p == nil ||"},
	{"an empty list of peers is nobody", "peers.go",
		"if len(peers) == 0 {\n\t\treturn []ruleset.Rule{{}}, nil", "if len(peers) == 0 {\n\t\treturn nil, nil"},
	{"a changed label selects no pod anew", "policies.go",
		"is := cmp.Or(was, now).UID, now != nil && p.selects(now)", "is := cmp.Or(was, now).UID, now != nil && p.pods[now.UID]"},
}

// The comparison finds each of these mistakes. Every one takes a build, so it is
// done on demand; that the texts are still there is seen always.
func TestSeededBugsAreCaught(t *testing.T) {
	demanded := os.Getenv("TIGHTROPE_FUZZ_BUGS") != ""
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			file, err := filepath.Abs(filepath.Join("compile", bug.file))
			must(t, err)
			source, err := os.ReadFile(file)
			must(t, err)
			if strings.Count(string(source), bug.right) != 1 {
				t.Fatalf("%s does not have %q once: the bug cannot be seeded", bug.file, bug.right)
			}
			if !demanded {
				t.Skip("set TIGHTROPE_FUZZ_BUGS=1, or run make fuzz-dataplane, to build it with the bug")
			}
			out, err := compareWith(t, file, strings.Replace(string(source), bug.right, bug.wrong, 1))
			if err == nil || !strings.Contains(out, "the specification says") {
				t.Errorf("the bug was not found (%v):\n%s", err, out)
			}
		})
	}
}

// compareWith runs the comparison with another text of a file.
func compareWith(t *testing.T, file, text string) (string, error) {
	dir := t.TempDir()
	edited, overlay := filepath.Join(dir, "edited.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(edited, []byte(text), 0o644))
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{file: edited}})
	must(t, err)
	must(t, os.WriteFile(overlay, b, 0o644))
	cmd := exec.Command("go", "test", "-trimpath", "-count=1", "-timeout=5m", "-overlay", overlay, "-run", "^TestTheDataPlaneDoes", ".", "-args", "-fuzz-sets=200")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, insideEnv+"=") }),
		"CGO_ENABLED=0", "TIGHTROPE_FUZZ_DIR="+dir)
	if keep := os.Getenv("TIGHTROPE_FUZZ_DIR"); keep != "" { // to look at what the bug looks like
		cmd.Env = append(cmd.Env, "TIGHTROPE_FUZZ_DIR="+filepath.Join(keep, filepath.Base(t.Name())))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
