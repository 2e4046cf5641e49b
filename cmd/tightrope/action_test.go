package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// step is a step of a job or of an action.
type step struct {
	Name, ID, If, Shell, Run, Uses string
	Env                            map[string]string
	With                           map[string]string
}

// action is action.yaml.
type action struct {
	Name, Description string
	Branding          map[string]string
	Inputs            map[string]struct{ Description, Default string }
	Outputs           map[string]struct{ Description, Value string }
	Runs              struct {
		Using string
		Steps []step
	}
}

// workflow is a file of .github/workflows.
type workflow struct {
	Name        string
	On          map[string]any
	Permissions map[string]string
	Jobs        map[string]struct {
		Name        string
		Needs       string
		RunsOn      string             `yaml:"runs-on"`
		Timeout     int                `yaml:"timeout-minutes"`
		Permissions *map[string]string // nil: those of the workflow
		Outputs     map[string]string
		Env         map[string]string
		Steps       []step
	}
}

// strictly reads a YAML file in which nothing is unknown.
func strictly(t *testing.T, file string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func theAction(t *testing.T) action {
	t.Helper()
	var a action
	strictly(t, "action.yaml", &a)
	if a.Runs.Using != "composite" || len(a.Runs.Steps) != 3 {
		t.Fatalf("%d steps, using %q", len(a.Runs.Steps), a.Runs.Using)
	}
	return a
}

// stepsOf are all steps of the action and of the workflows, with where they are.
func stepsOf(t *testing.T) map[string]step {
	t.Helper()
	all := map[string]step{}
	for i, s := range theAction(t).Runs.Steps {
		all[fmt.Sprintf("action.yaml, step %d", i)] = s
	}
	files, err := filepath.Glob("../../.github/workflows/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflow: %v", err)
	}
	for _, file := range files {
		var w workflow
		name := strings.TrimPrefix(file, "../../")
		strictly(t, name, &w)
		for job, j := range w.Jobs {
			for i, s := range j.Steps {
				all[fmt.Sprintf("%s, job %s, step %d", name, job, i)] = s
			}
		}
	}
	return all
}

// Whoever opens a pull request chooses its title and its files. Text that GitHub puts
// into a script is run; a variable is not.
func TestNothingFromOutsideBecomesShellText(t *testing.T) {
	scripts := 0
	for where, s := range stepsOf(t) {
		if s.Run == "" {
			continue
		}
		scripts++
		if strings.Contains(s.Run, "${{") {
			t.Errorf("%s puts an expression into its script: pass it by env", where)
		}
		check := exec.Command("bash", "-n")
		check.Stdin = strings.NewReader(s.Run)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", where, err, out)
		}
	}
	if scripts < 5 {
		t.Errorf("only %d scripts were found", scripts)
	}
}

var (
	longFlag  = regexp.MustCompile(`(?:^|[\s(])--([a-z][a-z-]*)`)
	ourLine   = regexp.MustCompile(`(?:bin/tightrope|"\$PROGRAM"|\./tightrope) ([a-z]+)`)
	shellName = regexp.MustCompile(`\$\{?([A-Z][A-Z0-9_]+)`)
)

// A flag that the command line does not have would fail on somebody else's runner.
func TestScriptsPassFlagsThatExist(t *testing.T) {
	flags := 0
	for where, s := range stepsOf(t) {
		verb := ""
		if said := ourLine.FindStringSubmatch(s.Run); said != nil {
			verb = said[1]
		}
		for _, line := range strings.Split(s.Run, "\n") {
			if said := ourLine.FindStringSubmatch(line); said != nil {
				verb = said[1]
			} else if !strings.Contains(line, "args") {
				continue
			}
			c, _, err := newRootCommand().Find([]string{verb})
			if err != nil || verb == "" {
				t.Fatalf("%s: %q is no command: %v", where, verb, err)
			}
			for _, flag := range longFlag.FindAllStringSubmatch(line, -1) {
				flags++
				if c.Flags().Lookup(flag[1]) == nil {
					t.Errorf("%s: tightrope %s has no --%s", where, verb, flag[1])
				}
			}
		}
	}
	if flags < 5 {
		t.Errorf("only %d flags were found", flags)
	}
}

// ofRunner are the variables that a runner sets.
var ofRunner = []string{"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_RUN_ID", "GITHUB_STEP_SUMMARY", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_REF_NAME", "RUNNER_OS", "RUNNER_ARCH", "RUNNER_TEMP", "SHA256SUMS"}

// A misspelt variable is empty, and an empty one changes what a script does.
func TestScriptsUseTheVariablesThatTheyAreGiven(t *testing.T) {
	used := map[string]bool{}
	for where, s := range stepsOf(t) {
		var names []string
		for _, said := range shellName.FindAllStringSubmatch(s.Run, -1) {
			names = append(names, said[1])
			if s.Env[said[1]] == "" && !slices.Contains(ofRunner, said[1]) {
				t.Errorf("%s uses $%s, which nobody sets", where, said[1])
			}
		}
		for name, value := range s.Env {
			used[value] = true
			if !slices.Contains(names, name) && name != "GH_TOKEN" { // gh reads it
				t.Errorf("%s sets %s and does not use it", where, name)
			}
		}
	}
	inputs := theAction(t).Inputs
	for value := range used {
		name, isInput := strings.CutPrefix(strings.Trim(value, "${ }"), "inputs.")
		if _, known := inputs[name]; isInput && !known {
			t.Errorf("%s: the action has no such input", value)
		}
	}
	for name := range inputs {
		if !used["${{ inputs."+name+" }}"] {
			t.Errorf("input %s has no effect", name)
		}
	}
}

// The job on kind runs the pull request's own code beside a Docker daemon: it has no
// token, and runs nobody else's actions. No job has more than it needs.
func TestWorkflowsHaveFewRights(t *testing.T) {
	var w workflow
	strictly(t, ".github/workflows/ci.yaml", &w)
	if !maps.Equal(w.Permissions, map[string]string{"contents": "read"}) {
		t.Errorf("permissions %v", w.Permissions)
	}
	for name, job := range w.Jobs {
		if job.Timeout == 0 || job.Permissions != nil && len(*job.Permissions) > 0 {
			t.Errorf("job %s: %d minutes, permissions %v", name, job.Timeout, job.Permissions)
		}
	}
	kind, there := w.Jobs["kind"]
	if !there || kind.Permissions == nil {
		t.Fatalf("job kind: %+v; want no permissions at all", kind)
	}
	for _, s := range kind.Steps {
		if s.Uses != "" && s.Uses != "./" {
			t.Errorf("job kind uses %s", s.Uses)
		}
	}
}

// A tag of somebody else's action may be moved to other code: a job that may write runs
// none, and what it publishes is what the job before has built.
func TestWhoeverMayWriteRunsNobodyElsesActions(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v: %v", err, files)
	}
	for _, file := range files {
		var w workflow
		strictly(t, strings.TrimPrefix(file, "../../"), &w)
		for name, job := range w.Jobs {
			rights := w.Permissions
			if job.Permissions != nil {
				rights = *job.Permissions
			}
			if job.Timeout == 0 {
				t.Errorf("%s, job %s: no timeout", file, name)
			}
			for _, s := range job.Steps {
				if s.Uses != "" && slices.Contains(slices.Collect(maps.Values(rights)), "write") {
					t.Errorf("%s, job %s has %v and uses %s", file, name, rights, s.Uses)
				}
			}
		}
	}
	var w workflow
	strictly(t, ".github/workflows/release.yaml", &w)
	build, publish := w.Jobs["build"], w.Jobs["publish"]
	if len(w.Permissions) > 0 || build.Permissions == nil || !maps.Equal(*build.Permissions, map[string]string{"contents": "read"}) ||
		publish.Permissions == nil || !maps.Equal(*publish.Permissions, map[string]string{"contents": "write", "actions": "read"}) {
		t.Errorf("permissions %v, %v, %v", w.Permissions, build.Permissions, publish.Permissions)
	}
	var acts, builds []string
	for i, s := range build.Steps {
		if s.Uses != "" {
			acts = append(acts, s.Uses)
		}
		if s.Uses != "" && i != len(build.Steps)-1 {
			t.Errorf("after %s something is built: %v", s.Uses, acts)
		}
		for line := range strings.Lines(s.Run) {
			if strings.HasSuffix(strings.TrimSpace(line), "make release") {
				builds = append(builds, strings.TrimSpace(line))
			}
		}
	}
	if !slices.Equal(builds, []string{"make release", "GOCACHE=$(mktemp -d) make release"}) {
		t.Errorf("it builds with %q: the second build may have what the first one made", builds)
	}
}

// Who can add a file to what is published, or change one, is found out.
func TestWhatIsPublishedIsWhatWasBuilt(t *testing.T) {
	var w workflow
	strictly(t, ".github/workflows/release.yaml", &w)
	var check string
	for _, s := range w.Jobs["publish"].Steps {
		if s.Env["SUM"] == "${{ needs.build.outputs.sum }}" {
			check = s.Run
		}
	}
	for name, tt := range map[string]struct {
		change string
		passes bool
	}{
		"as they were built": {"true", true},
		"another file":       {"echo x >more", false},
		"a changed file":     {"echo x >a", false},
		"a missing file":     {"rm a", false},
		"all changed":        {"echo x >a; sha256sum a >SHA256SUMS", false},
	} {
		folder := t.TempDir()
		script := "mkdir dist; cd dist; echo a >a; sha256sum a >SHA256SUMS\nSUM=$(sha256sum SHA256SUMS | cut -d ' ' -f 1)\n" + tt.change + "\ncd ..\n" + check
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); check == "" || (err == nil) != tt.passes {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
