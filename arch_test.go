// Package tightrope holds the architecture's own test: the import table of the
// design, one package doc per folder, and the caps on functions and files.
package tightrope

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module       = "github.com/tightrope-dev/tightrope"
	maxFunction  = 80  // lines
	maxFile      = 400 // lines
	labdFolder   = "clusters/labd"
	everything   = "*"
	anyOfCluster = "clusters/*"
	oracleFolder = "verdict/literal"
	benchFolder  = "verdict/bench"
)

// folder is one row of the table: the verb its package doc opens with, and which
// of our packages it may import. A new arrow comes with an ADR.
type folder struct {
	verb    string
	imports []string
}

var pure = []string{"api/v1alpha1", "catalog", "verdict", "probes"}

var table = map[string]folder{
	"api/v1alpha1":           {"names", nil},
	"catalog":                {"knows", []string{"api/v1alpha1"}},
	"verdict":                {"predicts", []string{"api/v1alpha1"}},
	"verdict/literal":        {"reads", []string{"verdict"}},
	"verdict/literal/random": {"makes", []string{"verdict"}},
	"verdict/platform":       {"imagines", []string{"verdict"}},
	"verdict/repair":         {"mends", []string{"verdict"}},
	"verdict/explain":        {"tells", []string{"api/v1alpha1", "verdict", "verdict/manifest", "verdict/matrix", "verdict/repair"}},
	"verdict/matrix":         {"draws", []string{"api/v1alpha1", "verdict", "verdict/manifest", "verdict/compare"}},
	"verdict/class":          {"groups", []string{"api/v1alpha1", "verdict"}},
	"verdict/compare":        {"compares", []string{"api/v1alpha1", "verdict", "verdict/class"}},
	"verdict/cover":          {"covers", []string{"api/v1alpha1", "verdict", "verdict/class"}},
	"probes":                 {"tests", []string{"api/v1alpha1", "catalog"}},
	"probes/dial":            {"tries", []string{"probes", "api/v1alpha1"}},
	"probes/agent":           {"tests", []string{"probes", "probes/dial", "api/v1alpha1"}},
	"probes/pods":            {"places", []string{"api/v1alpha1", "probes", "rollout/writer"}},
	"probes/enforcing":       {"measures", []string{"api/v1alpha1", "probes", "probes/pods", "rollout/writer"}},
	"deploy/apply":           {"applies", nil},
	"clusters/doctor":        {"examines", []string{"api/v1alpha1", "probes", "probes/pods", "probes/enforcing", "rollout/writer"}},
	"rollout":                {"decides", append([]string{"verdict/class", "verdict/compare", "verdict/cover"}, pure...)},
	"rollout/plan":           {"records", []string{"api/v1alpha1", "rollout"}},
	"rollout/evidence":       {"weighs", []string{"api/v1alpha1", "probes", "rollout"}},
	"report":                 {"proves", append([]string{"rollout", "rollout/evidence"}, pure...)},
	"rollout/operator":       {"acts", append([]string{"rollout", "rollout/plan", "rollout/evidence", "rollout/writer", "probes/pods", "probes/enforcing", "report", "deploy", "verdict/repair"}, pure...)},
	"rollout/writer":         {"writes", []string{"api/v1alpha1"}},
	"rollout/steer":          {"steers", []string{"api/v1alpha1", "api/strict", "report", "verdict/manifest"}},
	"deploy":                 {"ships", nil},
	"deploy/install":         {"installs", []string{"api/v1alpha1", "deploy"}},
	"deploy/images":          {"packs", []string{"deploy/sbom"}},
	"deploy/sbom":            {"lists", nil},
	"deploy/release":         {"bundles", []string{"deploy/images", "deploy/sbom"}},
	"deploy/charts":          {"templates", []string{"deploy"}},
	"rollout/preview":        {"previews", append([]string{"rollout", "report", "verdict/manifest", "verdict/lint", "verdict/compare", "verdict/repair"}, pure...)},
	"scenarios":              {"rehearses", append([]string{"rollout", "report", "deploy", "deploy/install", "api/strict"}, pure...)},
	"scenarios/standin":      {"stands in", []string{"catalog"}},
	"clusters":               {"hosts", nil},
	"clusters/lab":           {"hosts", []string{"api/v1alpha1", "clusters"}},
	"clusters/existing":      {"hosts", []string{"clusters"}},
	"clusters/kind":          {"hosts", []string{"clusters"}},
	"clusters/framework":     {"hosts", []string{"clusters", "clusters/kind", "clusters/lab"}},
	"scenarios/e2e":          {"", []string{everything}},
	"api/strict":             {"refuses", []string{"api/v1alpha1"}},
	"verdict/manifest":       {"reads", []string{"api/v1alpha1", "api/strict", "verdict", "verdict/kustomize"}},
	"verdict/kustomize":      {"builds", []string{"api/strict"}},
	"verdict/lint":           {"warns", []string{"api/v1alpha1", "catalog", "verdict", "verdict/manifest", "verdict/repair"}},
}

// testImports are arrows that only tests may draw.
var testImports = map[string][]string{
	"rollout/operator": {anyOfCluster, "scenarios", "verdict/literal"},
	"clusters/lab":     {everything},
	"verdict":          {"verdict/platform"},
	"verdict/literal":  {"verdict/literal/random"},
	"verdict/lint":     {"scenarios"},
	"verdict/compare":  {"verdict/platform"},
	"verdict/cover":    {"verdict/platform"},
}

func allowed(rules []string, pkg string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		ok, _ := path.Match(rule, pkg)
		return rule == everything || ok
	})
}

type source struct {
	folder, file string
	ast          *ast.File
	fset         *token.FileSet
}

// sources parses every Go file of the repository, in process: a test that
// shelled out would be cached after the very edit it should catch.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "testdata" || d.Name() != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasPrefix(d.Name(), "zz_generated"):
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{path.Dir(filepath.ToSlash(p)), filepath.ToSlash(p), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: the test looks in the wrong place", len(all))
	}
	return all
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.folder, "tools") || strings.HasPrefix(s.folder, "docs/example") || s.folder == "." {
			continue // modules of their own
		}
		for _, imp := range s.ast.Imports {
			target := strings.Trim(imp.Path.Value, `"`)
			ours, found := strings.CutPrefix(target, module+"/")
			if !found {
				continue
			}
			if why := forbidden(s, ours); why != "" {
				t.Errorf("%s imports %s: %s; add an ADR to change the table", s.file, ours, why)
			}
		}
	}
}

// An arrow to a folder that is not there allows what nobody has decided.
func TestArrowsLeadToFolders(t *testing.T) {
	folders := map[string]bool{}
	for _, s := range sources(t) {
		folders[s.folder] = true
	}
	for from, targets := range arrows() {
		if !folders[from] {
			t.Errorf("the table allows imports of %s, which has no Go file: delete its row", from)
		}
		for _, target := range targets {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(folders)), func(f string) bool { return allowed([]string{target}, f) }) {
				t.Errorf("the table allows %s to import %s, which has no Go file: delete the arrow", from, target)
			}
		}
	}
}

// arrows are those of all code and of tests.
func arrows() map[string][]string {
	all := map[string][]string{}
	for from, row := range table {
		all[from] = slices.Clone(row.imports)
	}
	for from, targets := range testImports {
		all[from] = append(all[from], targets...)
	}
	return all
}

func forbidden(s source, target string) string {
	switch {
	case strings.HasPrefix(s.folder, labdFolder):
		if !strings.HasPrefix(target, labdFolder) {
			return "labd shares no code with the main module, so that two readings of NetworkPolicy check each other"
		}
		return ""
	case s.folder == benchFolder:
		return "" // a module of its own
	case strings.HasPrefix(target, oracleFolder) && !strings.HasPrefix(s.folder, oracleFolder):
		if !strings.HasSuffix(s.file, "_test.go") {
			return "the literal evaluator is the oracle of tests; a verdict.Snapshot says the same and is fast"
		}
		return ""
	case strings.HasPrefix(s.folder, "cmd/"):
		if target == "scenarios/e2e" {
			return "nothing imports the end-to-end tests"
		}
		if target == "clusters/framework" {
			return "it links package testing, which no program needs"
		}
		return ""
	case target == s.folder:
		return "" // an external test of the package itself
	}
	row, ok := table[s.folder]
	if !ok {
		return "the folder is not in the table"
	}
	if allowed(row.imports, target) {
		return ""
	}
	if strings.HasSuffix(s.file, "_test.go") && allowed(testImports[s.folder], target) {
		return ""
	}
	return "the table has no such arrow"
}

func TestEveryFolderSaysWhatItDoes(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		doc := strings.Join(strings.Fields(s.ast.Doc.Text()), " ")
		if had, ok := docs[s.folder]; ok && had != "" && doc != "" {
			t.Errorf("%s: a second package doc in %s", s.file, s.folder)
		}
		if docs[s.folder] == "" {
			docs[s.folder] = doc
		}
	}
	for folder, doc := range docs {
		if doc == "" {
			t.Errorf("%s has no package doc", folder)
			continue
		}
		row, ok := table[folder]
		name := path.Base(folder)
		if ok && row.verb != "" && !strings.HasPrefix(doc, "Package "+name+" "+row.verb) {
			t.Errorf("%s: the package doc opens %q, want %q", folder, firstWords(doc, 4), "Package "+name+" "+row.verb)
		}
	}
	for folder, row := range table {
		if _, ok := docs[folder]; !ok && row.verb != "" {
			t.Errorf("%s is in the table and has no Go file", folder)
		}
	}
}

func firstWords(s string, n int) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(n, len(words))], " ")
}

// Packages that make test runs without the race detector do one thing at a time,
// and so do their tests.
func TestPackagesWithoutTheRaceDetectorDoOneThingAtATime(t *testing.T) {
	script, err := os.ReadFile("hack/test.sh")
	if err != nil {
		t.Fatal(err)
	}
	alone := regexp.MustCompile(`(?m)^alone='(.*)'$`).FindSubmatch(script)
	if alone == nil {
		t.Fatal("hack/test.sh does not say which packages run without the race detector")
	}
	folders, seen := regexp.MustCompile(string(alone[1])), 0
	for _, s := range sources(t) {
		if !folders.MatchString("/" + s.folder) {
			continue
		}
		seen++
		for _, imp := range s.ast.Imports {
			if strings.HasPrefix(strings.Trim(imp.Path.Value, `"`), "sync") {
				t.Errorf("%s imports %s", s.file, imp.Path.Value)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine", s.fset.Position(g.Pos()))
			}
			return true
		})
	}
	if seen < 20 {
		t.Errorf("only %d files run without the race detector: the pattern matches the wrong folders", seen)
	}
}

func TestFunctionsAndFilesStayReadable(t *testing.T) {
	for _, s := range sources(t) {
		if lines := s.fset.File(s.ast.Pos()).LineCount(); lines > maxFile {
			t.Errorf("%s has %d lines, more than %d: split it by concept", s.file, lines, maxFile)
		}
		for _, d := range s.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			lines := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
			if lines > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", s.file, fn.Name.Name, lines, maxFunction)
			}
		}
	}
}
