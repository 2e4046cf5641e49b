package lint

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

var (
	corpusRun     = flag.Bool("corpus", false, "judge lint on the sets of testdata/corpus")
	corpusModules = flag.Bool("corpus-modules", false, "judge lint on the manifests of modules too, which are downloaded where they are missing")
	corpusUpdate  = flag.Bool("corpus-update", false, "write the findings into testdata/corpus/judgements.tsv: new ones to be judged, without those that are gone")
)

const (
	corpusFolder    = "testdata/corpus"
	judgementsFile  = corpusFolder + "/judgements.tsv"
	judgementsTitle = "# What a network engineer says of each finding on the sets of this folder: true (it is so, and worth an action), info (it\n" +
		"# is so, and worth knowing), false, or ? (not judged yet). make lint-corpus compares. Columns, separated by tabs:\n" +
		"# judgement, set, rule, object, field, reason.\n"
	ofModule = "module:" // how the names of sets of modules begin
	// One finding in this many may be false. No error may.
	falseAlarms = 10
)

// neighbours are sets that a cluster may well hold at once: what one looks like to
// the others, such as to Prometheus, is judged too.
var neighbours = []string{"airflow", "cloudnative-pg", "jupyterhub", "keda", "kube-prometheus", "kubebuilder-operator"}

// corpusSet is manifests as somebody would apply them.
type corpusSet struct {
	name  string
	paths []string
}

// judgement is what a person says of one finding.
type judgement struct{ says, set, rule, object, field, why string }

func (j judgement) key() string {
	return strings.Join([]string{j.set, j.rule, j.object, j.field}, "\t")
}

func (j judgement) String() string { return j.says + "\t" + j.key() + "\t" + j.why }

// Lint is of use on other people's manifests only if what it says is true there.
// The sets of testdata/corpus have the shape, labels, ports and rules of public
// ones; those of modules are the public ones themselves.
func TestCorpus(t *testing.T) {
	if !*corpusRun {
		t.Skip("a person judges each new finding: make lint-corpus runs it")
	}
	judged, pending := readJudgements(t), map[string]judgement{}
	for _, j := range judged {
		pending[j.key()] = j
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "set\tpolicies\tpods\tfindings\ttrue\tinfo\tfalse\terrors\tfalse errors\t")
	totals := map[bool]*tally{true: {}, false: {}} // of modules, and of the sets that are written here
	var now []judgement
	for _, set := range corpusSets(t) {
		one, found := judgeSet(t, set, pending)
		one.row(w, set.name)
		totals[strings.HasPrefix(set.name, ofModule)].add(one)
		now = append(now, found...)
	}
	totals[false].row(w, "all that are written here")
	totals[true].row(w, "all of modules")
	w.Flush()
	t.Logf("\n%s", &table)
	if *corpusUpdate {
		writeJudgements(t, append(now, unread(judged, now)...))
		return
	}
	for _, j := range pending {
		if *corpusModules || !strings.HasPrefix(j.set, ofModule) {
			t.Errorf("no longer found, though judged %s: %s", j.says, j.key())
		}
	}
	for _, total := range totals {
		if total.falses*falseAlarms > total.findings {
			t.Errorf("%d of %d findings are false; at most one in %d may be", total.falses, total.findings, falseAlarms)
		}
	}
}

// judgeSet looks its findings up among what is judged, and takes them out there.
func judgeSet(t *testing.T, s corpusSet, pending map[string]judgement) (tally, []judgement) {
	t.Helper()
	set, err := manifest.Read(s.paths, nil, manifest.Options{})
	if err != nil {
		t.Fatalf("set %s: %v", s.name, err)
	}
	count, seen := tally{policies: len(set.Objects.NetworkPolicies), pods: len(set.Pods)}, map[string]int{}
	var found []judgement
	for _, f := range Check(set) {
		j := judgement{"?", s.name, f.Rule, f.Object.String(), f.Position.Field, "not judged yet"}
		if seen[j.key()]++; seen[j.key()] > 1 {
			j.field += fmt.Sprintf(" #%d", seen[j.key()])
		}
		if known, ok := pending[j.key()]; ok {
			j = known
			delete(pending, j.key())
		}
		found = append(found, j)
		count.put(f, j.says)
		switch {
		case *corpusUpdate:
		case j.says == "?":
			t.Errorf("nobody has judged this yet (make lint-corpus UPDATE=1 makes a line for it): %s\n%s", j.key(), f)
		case j.says == "false" && f.Severity == Error:
			t.Errorf("an error is false: %s\n%s", j, f)
		}
	}
	return count, found
}

// tally counts the findings of a set.
type tally struct{ policies, pods, findings, trues, infos, falses, errors, falseErrors int }

func (c *tally) put(f Finding, says string) {
	c.findings++
	for word, n := range map[string]*int{"true": &c.trues, "info": &c.infos, "false": &c.falses} {
		if says == word {
			*n++
		}
	}
	if f.Severity == Error {
		c.errors++
		if says == "false" {
			c.falseErrors++
		}
	}
}

func (c *tally) add(o tally) {
	c.policies, c.pods, c.findings = c.policies+o.policies, c.pods+o.pods, c.findings+o.findings
	c.trues, c.infos, c.falses = c.trues+o.trues, c.infos+o.infos, c.falses+o.falses
	c.errors, c.falseErrors = c.errors+o.errors, c.falseErrors+o.falseErrors
}

func (c tally) row(w *tabwriter.Writer, name string) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, c.policies, c.pods, c.findings, c.trues, c.infos, c.falses, c.errors, c.falseErrors)
}

func corpusFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(corpusFolder + "/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d sets in %s, want 8 and more: %v", len(files), corpusFolder, err)
	}
	return files
}

func corpusSets(t *testing.T) []corpusSet {
	t.Helper()
	var all []corpusSet
	for _, file := range corpusFiles(t) {
		all = append(all, corpusSet{strings.TrimSuffix(filepath.Base(file), ".yaml"), []string{file}})
	}
	cluster := corpusSet{name: "together"}
	for _, name := range neighbours {
		cluster.paths = append(cluster.paths, filepath.Join(corpusFolder, name+".yaml"))
	}
	all = append(all, cluster)
	if *corpusModules {
		for _, pin := range modulePins(t) {
			all = append(all, pin.fetch(t))
		}
	}
	return all
}

// modulePin is a folder of manifests in a module, with the module's checksum.
type modulePin struct {
	name, module, sum string
	paths             []string
}

func modulePins(t *testing.T) []modulePin {
	t.Helper()
	var all []modulePin
	for _, line := range written(t, corpusFolder+"/modules.txt") {
		f := strings.Fields(line)
		if len(f) != 3 {
			t.Fatalf("%s/modules.txt: %q is not a name, MODULE@VERSION/FOLDER and a checksum", corpusFolder, line)
		}
		module, rest, _ := strings.Cut(f[1], "@")
		version, paths, _ := strings.Cut(rest, "/")
		all = append(all, modulePin{f[0], module + "@" + version, f[2], strings.Split(paths, ",")})
	}
	return all
}

// fetch asks the Go command for the module, which downloads it where it is missing.
func (p modulePin) fetch(t *testing.T) corpusSet {
	t.Helper()
	var got struct{ Dir, Sum, Error string }
	download := exec.Command("go", "mod", "download", "-json", p.module)
	download.Dir = t.TempDir() // no go.mod of ours is asked or changed
	out, err := download.Output()
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || got.Error != "" || err != nil {
		t.Fatalf("set %s: module %s is not here and cannot be downloaded: %s (%v); make lint-corpus needs the network once", p.name, p.module, got.Error, err)
	}
	if got.Sum != p.sum {
		t.Fatalf("set %s: module %s has checksum %s, and modules.txt says %s", p.name, p.module, got.Sum, p.sum)
	}
	set := corpusSet{name: p.name}
	for _, path := range p.paths {
		set.paths = append(set.paths, filepath.Join(got.Dir, path))
	}
	return set
}

// written are the lines of a file that are neither empty nor a comment.
func written(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#")
	})
}

func readJudgements(t *testing.T) []judgement {
	t.Helper()
	var all []judgement
	for _, line := range written(t, judgementsFile) {
		f := strings.Split(line, "\t")
		if len(f) != 6 || !slices.Contains([]string{"true", "info", "false", "?"}, f[0]) || f[5] == "" {
			t.Fatalf("%s: %q is not a judgement (true, info, false or ?), set, rule, object, field and reason", judgementsFile, line)
		}
		all = append(all, judgement{f[0], f[1], f[2], f[3], f[4], f[5]})
	}
	return all
}

// unread are judgements on sets that were not read this time.
func unread(judged, now []judgement) []judgement {
	return slices.DeleteFunc(judged, func(j judgement) bool {
		return !strings.HasPrefix(j.set, ofModule) || slices.ContainsFunc(now, func(o judgement) bool { return o.set == j.set })
	})
}

func writeJudgements(t *testing.T, all []judgement) {
	t.Helper()
	var text strings.Builder
	text.WriteString(judgementsTitle)
	for _, j := range all {
		fmt.Fprintln(&text, j)
	}
	if err := os.WriteFile(judgementsFile, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
