package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runner runs steps of the action as GitHub does, in a folder of its own.
type runner struct {
	folder string
	path   string
	inputs map[string]string
	steps  map[string]step
	gave   map[string]string // outputs, as step.name
}

func newRunner(t *testing.T, inputs map[string]string) *runner {
	t.Helper()
	a := theAction(t)
	r := &runner{folder: t.TempDir(), path: os.Getenv("PATH"), inputs: map[string]string{}, steps: map[string]step{}, gave: map[string]string{}}
	for name, input := range a.Inputs {
		r.inputs[name] = input.Default
	}
	maps.Copy(r.inputs, inputs)
	for _, s := range a.Runs.Steps {
		r.steps[s.ID] = s
	}
	return r
}

var expression = regexp.MustCompile(`^\$\{\{ (inputs\.([\w-]+)|steps\.(\w+)\.outputs\.(\w+)) \}\}$`)

// runs does a step and returns its exit code, what it printed and its summary.
func (r *runner) runs(t *testing.T, id string) (code int, out, summary string) {
	t.Helper()
	s := r.steps[id]
	if s.Shell != "bash" || s.Run == "" {
		t.Fatalf("step %q: %+v", id, s)
	}
	outputs, sum := filepath.Join(r.folder, "outputs-"+id), filepath.Join(r.folder, "summary-"+id)
	for _, file := range []string{outputs, sum} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
	cmd.Dir = r.folder
	cmd.Env = append(os.Environ(), "PATH="+r.path, "GITHUB_OUTPUT="+outputs, "GITHUB_STEP_SUMMARY="+sum, "RUNNER_TEMP="+r.folder, "RUNNER_OS=Linux", "RUNNER_ARCH=X64")
	for name, value := range s.Env {
		said := expression.FindStringSubmatch(value)
		if said == nil {
			t.Fatalf("step %s: %s is %q, which this test does not read", id, name, value)
		}
		text := r.inputs[said[2]]
		if said[2] == "" {
			text = r.gave[said[3]+"."+said[4]]
		}
		cmd.Env = append(cmd.Env, name+"="+text)
	}
	raw, err := cmd.CombinedOutput()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		code = ended.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(read(t, outputs)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		r.gave[id+"."+name] = value
	}
	return code, string(raw), read(t, sum)
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The built program plans a scenario that breaks a path: the step fails as the program
// does, and the summary is what it said.
func TestTheActionPlansAPullRequest(t *testing.T) {
	r := newRunner(t, map[string]string{"binary": binary(t, "tightrope"), "plan": "manifests\n\n"})
	if out, err := exec.Command(binary(t, "tightrope"), "plan", "gw-forgot-dns", "--manifests", filepath.Join(r.folder, "manifests")).CombinedOutput(); err == nil || !strings.Contains(string(out), "Nothing was applied") {
		t.Fatalf("%v: %s", err, out)
	}
	if code, out, _ := r.runs(t, "get"); code != 0 || r.gave["get.program"] != binary(t, "tightrope") {
		t.Fatalf("exit code %d, program %q: %s", code, r.gave["get.program"], out)
	}
	code, out, summary := r.runs(t, "plan")
	if code != exitCut || r.gave["plan.code"] != fmt.Sprint(exitCut) {
		t.Errorf("exit code %d, output %q: %s", code, r.gave["plan.code"], out)
	}
	for _, want := range []string{"## tightrope plan: exit code 1\n", "    PATHS OF THE SUITES: ", "\n    Nothing was applied. "} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary does not have %q:\n%s", want, summary)
		}
	}
	if !strings.Contains(out, "Nothing was applied. ") || strings.Index(out, "::stop-commands::") > strings.Index(out, "PATHS OF") {
		t.Errorf("the log: %s", out)
	}
}

// program writes a shell script that stands in for tightrope.
func (r *runner) program(t *testing.T, script string) {
	t.Helper()
	name := filepath.Join(r.folder, "stand-in")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.gave["get.program"] = name
}

func TestTheActionVerifiesAPullRequest(t *testing.T) {
	hostile := "$(touch hurt) `touch hurt` ' \" ; touch hurt"
	r := newRunner(t, map[string]string{"suite": "a b.yaml\n" + hostile, "apply": "out", "arguments": "--for=10s\n--path=x y", "kind-image": "node:1", "kind-config": "k.yaml"})
	r.program(t, "for a; do printf '<%s>\\n' \"$a\"; done\nmkdir -p tightrope-report\nprintf '# Cut\\n' >tightrope-report/report.md\nexit 1\n")
	code, out, summary := r.runs(t, "verify")
	if code != exitCut || r.gave["verify.code"] != "1" {
		t.Errorf("exit code %d, output %q", code, r.gave["verify.code"])
	}
	want := "<verify>\n<--cluster>\n<kind>\n<--report>\n<tightrope-report>\n<-f>\n<a b.yaml>\n<-f>\n<" + hostile + ">\n<--apply>\n<out>\n<--kind-image>\n<node:1>\n<--kind-config>\n<k.yaml>\n<--for=10s>\n<--path=x y>\n"
	if !strings.Contains(out, want) {
		t.Errorf("got\n%s\nwithout\n%s", out, want)
	}
	if summary != "## tightrope verify: exit code 1\n\n# Cut\n\n" {
		t.Errorf("summary %q", summary)
	}
	if _, err := os.Stat(filepath.Join(r.folder, "hurt")); err == nil {
		t.Error("an input was run")
	}
}

// The summary shows what is in the directory of the input: a report elsewhere would look
// as if nothing had been verified.
func TestTheReportsAreWhereTheActionLooks(t *testing.T) {
	for _, arguments := range []string{"--report=elsewhere", "--for=10s\n--report\nelsewhere"} {
		r := newRunner(t, map[string]string{"suite": "s.yaml", "arguments": arguments})
		r.program(t, "echo verified")
		code, out, summary := r.runs(t, "verify")
		if code != exitUsage || !strings.Contains(out, "by the input report") || strings.Contains(out, "verified\n") || summary != "" {
			t.Errorf("%q: exit code %d, summary %q: %s", arguments, code, summary, out)
		}
	}
}

// The report of an earlier run is no report of this one.
func TestTheActionShowsNoOldReport(t *testing.T) {
	r := newRunner(t, map[string]string{"suite": "s.yaml"})
	r.program(t, "echo 'error: no ConnectivitySuite is in the input' >&2\nexit 4\n")
	if err := os.MkdirAll(filepath.Join(r.folder, "tightrope-report"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.folder, "tightrope-report", "report.md"), []byte("# Verified\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, summary := r.runs(t, "verify")
	if code != exitUsage || strings.Contains(summary, "Verified") || !strings.Contains(summary, "Nothing was verified.\n\n    error: no ConnectivitySuite") {
		t.Errorf("exit code %d, summary %q: %s", code, summary, out)
	}
}

// release puts files of a release where the action's curl finds them, by their URLs.
func (r *runner) release(t *testing.T, files map[string]string) {
	t.Helper()
	from := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	curl := "#!/bin/sh\nfor url; do :; done\nwhile [ \"$1\" != --output ]; do shift; done\n" +
		"case $url in https://github.com/tightrope-dev/tightrope/releases/download/v1.2.3/*) exec cp " + from + "/\"${url##*/}\" \"$2\" ;; esac\nexit 22\n"
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "curl"), []byte(curl), 0o755); err != nil {
		t.Fatal(err)
	}
	r.path = bin + ":" + r.path
}

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// packed is an archive with a program that says what it is asked.
func packed(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	script := "#!/bin/sh\necho \"asked: $*\"\n"
	err := w.WriteHeader(&tar.Header{Name: "tightrope", Mode: 0o755, Size: int64(len(script))})
	if err == nil {
		_, err = w.Write([]byte(script))
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheActionTakesAReleaseThatIsWhole(t *testing.T) {
	const cli, images = "tightrope-cli_v1.2.3_linux_amd64.tar.gz", "tightrope_v1.2.3_images.tar"
	archive := packed(t)
	sums := sumOf(archive) + "  " + cli + "\n" + sumOf("images") + "  " + images + "\n"
	whole := map[string]string{cli: archive, images: "images", "SHA256SUMS": sums}
	other := maps.Clone(whole)
	other[images] = "other images"
	lacking := maps.Clone(whole)
	lacking["SHA256SUMS"] = sumOf(archive) + "  x" + cli + "\n"
	for name, tt := range map[string]struct {
		files  map[string]string
		inputs map[string]string
		code   int
		says   string
	}{
		"whole":             {whole, map[string]string{"version": "v1.2.3"}, 0, "asked: images load " + images},
		"pinned":            {whole, map[string]string{"version": "v1.2.3", "sums-sha256": sumOf(sums)}, 0, "asked: images load"},
		"pinned to another": {whole, map[string]string{"version": "v1.2.3", "sums-sha256": sumOf("")}, exitUsage, "is not the file of sums-sha256"},
		"another file":      {other, map[string]string{"version": "v1.2.3"}, exitUsage, images + " is not the file that SHA256SUMS"},
		"without a sum":     {lacking, map[string]string{"version": "v1.2.3"}, exitUsage, "has no sum of " + cli},
		"not there":         {whole, map[string]string{"version": "v1.2.4"}, exitUsage, "cannot be downloaded"},
		"no version":        {whole, nil, exitUsage, "give the action a version such as v1.2.3, or a binary"},
		"a hostile version": {whole, map[string]string{"version": "v1.2.3/../../../../evil/evil/releases/download/v1.2.3"}, exitUsage, "give the action a version"},
		"no such binary":    {whole, map[string]string{"binary": "nothing"}, exitUsage, "binary nothing is no program"},
		"nothing to do":     {whole, map[string]string{"version": "v1.2.3", "suite": ""}, exitUsage, "nothing to do"},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := map[string]string{"suite": "suite.yaml"}
			maps.Copy(inputs, tt.inputs)
			r := newRunner(t, inputs)
			r.release(t, tt.files)
			code, out, _ := r.runs(t, "get")
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d and %q: %s", code, tt.code, tt.says, out)
			}
			if program := r.gave["get.program"]; (program == "") != (tt.code != 0) {
				t.Errorf("program %q", program)
			}
		})
	}
}
