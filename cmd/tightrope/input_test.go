package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/scenarios"
)

// good is the text of a scenario of the library, to plant one mistake in.
func good(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../scenarios/library/zero-trust-ai-platform.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// planted is a scenario's file with one place of the good one replaced.
func planted(t *testing.T, replace, with string) string {
	t.Helper()
	text := good(t)
	if !strings.Contains(text, replace) {
		t.Fatalf("the good scenario has no %q, so nothing would be planted", replace)
	}
	return file(t, "bad.yaml", strings.Replace(text, replace, with, 1))
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// closedPort is an address that refuses connections.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func kubeconfig(t *testing.T, server string) string {
	return file(t, "kubeconfig", `apiVersion: v1
kind: Config
current-context: gone
clusters: [{name: gone, cluster: {server: "`+server+`"}}]
users: [{name: me, user: {token: x}}]
contexts: [{name: gone, context: {cluster: gone, user: me}}]
`)
}

// Every row is one mistake. What it says names the thing, what is wrong with it,
// and what to do.
func TestBadInputIsOneSentence(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	line := func(text string) string { return lineOf(t, text) }
	current := func(kubeconfig string) []string {
		return []string{"run", "gw-forgot-dns", "--cluster", "current", "--kubeconfig", kubeconfig}
	}
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"no command", nil, []string{"no command was given", "`tightrope --help`"}},
		{"a command that is not known", []string{"rum"}, []string{`no command "rum"`, "did you mean run?", "`tightrope --help`"}},
		{"a lab command that is not known", []string{"lab", "dwon"}, []string{`tightrope lab has no command "dwon"`, "did you mean down?", "`tightrope lab --help`"}},
		{"a group alone", []string{"lab"}, []string{"tightrope lab: no command was given"}},
		{"a flag that is not known", []string{"demo", "--fast"}, []string{"--fast", "`tightrope demo --help`"}},
		{"a flag of the wrong kind", []string{"run", "gw-forgot-dns", "--nodes", "two"}, []string{`"two"`, "--nodes", "`tightrope run --help`"}},
		{"an argument too many", []string{"demo", "fast"}, []string{`"fast"`, "`tightrope demo --help`"}},
		{"no scenario", []string{"run"}, []string{"no scenario was given", "gw-forgot-dns", "`tightrope run --help`"}},
		{"a scenario that is not known", []string{"run", "gw-forgot-everything"}, []string{"scenario gw-forgot-everything", "no such file", "gw-forgot-dns"}},
		{"a scenario twice", []string{"run", "gw-forgot-dns", "gw-forgot-dns"}, []string{"scenario gw-forgot-dns is there twice", "name it once"}},
		{"a cluster that is not known", []string{"run", "gw-forgot-dns", "--cluster", "moon"}, []string{`--cluster "moon"`, "use lab, kind or current"}},
		{"fewer than no nodes", []string{"run", "gw-forgot-dns", "--nodes", "-1"}, []string{"--nodes=-1", "at least one"}},
		{"no nodes to run pods on", []string{"demo", "--nodes", "0"}, []string{"--nodes=0", "at least one"}},
		{"no time to hold", []string{"run", "gw-forgot-dns", "--hold-timeout", "-1s"}, []string{"--hold-timeout=-1s", "above 0"}},
		{"a kubeconfig for a lab", []string{"run", "gw-forgot-dns", "--kubeconfig", "mine"}, []string{"--kubeconfig", "add --cluster current"}},
		{"a flag of the lab for a cluster", []string{"run", "gw-forgot-dns", "--cluster", "current", "--dataplane", "ignore"}, []string{"--dataplane", "leave it out"}},
		{"an image for a cluster", []string{"run", "gw-forgot-dns", "--cluster", "current", "--image", "a=/bin/true"}, []string{"--image", "leave it out"}},
		{"an image without a program", []string{"run", "gw-forgot-dns", "--image", "a="}, []string{`"a="`, "NAME=PATH"}},
		{"a labd that is not there", []string{"run", "gw-forgot-dns", "--labd", "/nowhere/labd"}, []string{"/nowhere/labd", "build it with"}},
		{"a lab's name that is no name", []string{"lab", "status", "--name", "../x"}, []string{"../x", "not up"}},
		{"an output that is not known", []string{"lab", "status", "-o", "xml"}, []string{`"xml"`, "text or json"}},

		{"a field that is not known", []string{"run", planted(t, "  expect:\n    result: Committed", "  expects:\n    result: Committed")},
			[]string{"bad.yaml:" + line("  expect:\n    result: Committed") + ": spec.expects: unknown field", "did you mean expect?"}},
		{"an identity that does not exist", []string{"run", planted(t, "      from: chat-api\n", "      from: chat-app\n")},
			[]string{"bad.yaml:" + line("      from: chat-api\n") + ": spec.suite.paths[0].from", `no identity "chat-app"`, "did you mean chat-api?"}},
		{"a policy that does not parse", []string{"run", planted(t, "          podSelector: {}\n", "          podSelector: [all]\n")},
			[]string{"bad.yaml:" + line("          podSelector: {}\n"), "spec.rollout.policies.inline[0].spec.podSelector", "expected fields"}},
		{"a target Service that does not exist", []string{"run", planted(t, "name: llm-gateway, port: 4000}}\n      expect: Allow", "name: llm-gatewax, port: 4000}}\n      expect: Allow")},
			[]string{"spec.suite.paths[0].to.service.name", "no Service llm-gatewax in namespace ai", "did you mean llm-gateway?"}},
		{"a file that is no YAML", []string{"run", file(t, "bad.yaml", "spec:\n  a: [\n")}, []string{"bad.yaml:", "is not YAML"}},

		{"a kubeconfig that is not there", current("/nowhere/kubeconfig"), []string{"/nowhere/kubeconfig", "no such file", "--kubeconfig"}},
		{"a kubeconfig that is none", current(file(t, "garbage", "\x00\x1b[31m{{{")), []string{"garbage", "--kubeconfig"}},
		{"a kubeconfig that is empty", current(file(t, "empty", "")), []string{"no kubeconfig names a cluster", "/empty", "--kubeconfig"}},
		{"a cluster that cannot be reached", current(kubeconfig(t, "https://"+closedPort(t))), []string{`cluster "gone"`, "127.0.0.1:", "connection refused", "is it running"}},
		{"a report directory below a file", []string{"run", "gw-forgot-dns", "--report", file(t, "taken", "") + "/reports"},
			[]string{"report directory", "taken/reports", "not a directory", "--report"}},
		{"a report directory that is a file", []string{"demo", "--report", file(t, "taken", "")}, []string{"report directory", "taken", "not a directory"}},
		{"a report without a directory", []string{"demo", "--report", ""}, []string{"--report is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantRefused(t, tt.args, tt.says)
		})
	}
}

// wantRefused runs a command line in this process, in a folder of its own.
func wantRefused(t *testing.T, args, says []string) {
	t.Helper()
	if slices.Contains([]string{"run", "demo"}, append(args, "")[0]) && !slices.Contains(args, "--report") {
		args = append(slices.Clone(args), "--report", t.TempDir())
	}
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	said := stderr.String()
	if strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "error: ") {
		t.Errorf("not one line that begins with \"error: \": %q", said)
	}
	for _, want := range says {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	for _, trace := range []string{"goroutine ", "panic", ".go:", "\x1b", "\x00"} {
		if strings.Contains(said+stdout.String(), trace) {
			t.Errorf("%q is nothing to show to people: %q", trace, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(labs.folder, "tightrope-*", "*")); len(left) > 0 && labs.shared == nil {
		t.Errorf("left: %v", left)
	}
}

func TestEveryProblemOfAFileHasItsLine(t *testing.T) {
	text := strings.Replace(good(t), "      from: chat-api\n", "      from: nobody\n", 2)
	var stdout, stderr bytes.Buffer
	if code := run([]string{"run", file(t, "two.yaml", text), "--report", t.TempDir()}, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `no identity "nobody"`) {
		t.Errorf("want a line for each of two problems: %q", lines)
	}
}

func TestNoReportFolderIsMadeForInputThatIsRefused(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "reports")
	var stdout, stderr bytes.Buffer
	run([]string{"run", "gw-forgot-dns", "no-such", "--report", folder}, &stdout, &stderr)
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("%s: %v, though the second scenario does not exist", folder, err)
	}
}

func TestTheKubeconfigOfTheEnvironmentIsNamed(t *testing.T) {
	for path, want := range map[string]string{
		file(t, "garbage", "\x00{{"): "kubeconfig of $KUBECONFIG",
		"/nowhere/kubeconfig":        "no kubeconfig names a cluster (read: /nowhere/kubeconfig)",
	} {
		t.Setenv("KUBECONFIG", path)
		wantRefused(t, []string{"run", "gw-forgot-dns", "--cluster", "current"}, []string{want, "--kubeconfig"})
	}
}

// lineOf is the number of the line that a text of the good scenario begins on.
func lineOf(t *testing.T, text string) string {
	t.Helper()
	before, _, found := strings.Cut(good(t), text)
	if !found {
		t.Fatalf("the good scenario has no %q", text)
	}
	return strconv.Itoa(strings.Count(before, "\n") + 1)
}

// The table above plants mistakes in a scenario that is itself without any.
func TestTheGoodScenarioLoads(t *testing.T) {
	if _, err := scenarios.Load(file(t, "good.yaml", good(t))); err != nil {
		t.Fatal(err)
	}
}
