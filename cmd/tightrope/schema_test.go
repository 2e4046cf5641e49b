package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	reflected "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tightrope-dev/tightrope/clusters/doctor"
	"github.com/tightrope-dev/tightrope/verdict/lint"
)

var update = flag.Bool("update", false, "write the schemas into docs/schema")

// documents are what -o json writes, by the schema's file name.
var documents = map[string]struct {
	kind, command string
	form          any
}{
	"explanation":       {"Explanation", "explain -o json", &explanation{}},
	"lint-report":       {"LintReport", "lint -o json", &lintReport{}},
	"matrix":            {"Matrix", "matrix -o json", &matrixDocument{}},
	"workload-matrix":   {"WorkloadMatrix", "matrix --by workload -o json", &workloadMatrix{}},
	"matrix-difference": {"MatrixDifference", "matrix --diff DIR -o json", &matrixDifference{}},
	"examination":       {"Examination", "doctor -o json", &examination{}},
	"plan-report":       {"PlanReport", "plan -o json", &planReport{}},
}

const schemas = "../../docs/schema"

// schemaOf makes a schema of a Go type. Open is for other programs, which must bear
// fields that a later version adds; a closed one finds fields that have no type.
func schemaOf(t *testing.T, name string, open bool) []byte {
	t.Helper()
	r := reflected.Reflector{AllowAdditionalProperties: open, ExpandedStruct: true, Mapper: func(t reflect.Type) *reflected.Schema {
		if t == reflect.TypeFor[lint.Severity]() {
			return &reflected.Schema{Type: "string", Enum: []any{lint.Error.String(), lint.Warning.String(), lint.Info.String()}}
		}
		if t == reflect.TypeFor[doctor.State]() {
			return &reflected.Schema{Type: "string", Enum: []any{doctor.Unknown.String(), doctor.OK.String(), doctor.Note.String(), doctor.Problem.String()}}
		}
		return nil
	}}
	for _, dir := range []string{"cmd/tightrope", "verdict/explain", "verdict/lint", "verdict/matrix", "rollout/preview", "clusters/doctor"} {
		if err := r.AddGoComments("github.com/tightrope-dev/tightrope/cmd/tightrope", "../../"+dir); err != nil {
			t.Fatal(err)
		}
	}
	d := documents[name]
	s := r.Reflect(d.form)
	s.ID = reflected.ID("https://tightrope.dev/schema/" + name + ".json")
	s.Title, s.Description = d.kind, "What tightrope "+d.command+" writes."
	kind, _ := s.Properties.Get("kind")
	kind.Enum = []any{d.kind}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, '\n')
}

// The schemas in docs/schema are those of the types.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	for name := range documents {
		file, want := filepath.Join(schemas, name+".json"), schemaOf(t, name, true)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if had, err := os.ReadFile(file); err != nil || !bytes.Equal(had, want) {
			t.Errorf("%s is not the schema of its type (%v): run go test ./cmd/tightrope -run Schema -update", file, err)
		}
	}
	files, err := filepath.Glob(schemas + "/*.json")
	if err != nil || len(files) != len(documents) {
		t.Errorf("%d schemas for %d documents: %v", len(files), len(documents), err)
	}
}

// What the commands print is what the schemas say, in the closed form too.
func TestOutputIsWhatItsSchemaSays(t *testing.T) {
	file, after := manifests(t, closing), manifests(t, strings.Replace(closing, "app: chat-api}}\n    ports", "app: batch}}\n    ports", 1))
	example := filepath.Join(t.TempDir(), "example")
	if code, _, errs := said(t, "plan", "gw-forgot-dns", "--manifests", example); code != exitCut {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	ask := func(from string, more ...string) []string {
		return append([]string{"explain", "--from", from, "--to", "ai/llm-gateway", "--port", "4000", "-f", file}, more...)
	}
	for _, tt := range []struct {
		schema string
		args   []string
	}{
		{"explanation", ask("apps/chat-api")},
		{"explanation", ask("apps/batch", "--with-rollout")},
		{"explanation", ask("203.0.113.7")},
		{"lint-report", []string{"lint", "-f", example}},
		{"lint-report", []string{"lint", "-f", file}},
		{"matrix", []string{"matrix", "-f", example, "--from-ip", "203.0.113.7"}},
		{"workload-matrix", []string{"matrix", "-f", example, "--by", "workload", "--with-rollout"}},
		{"matrix-difference", []string{"matrix", "-f", file, "--diff", after}},
		{"plan-report", []string{"plan", "-f", example}},
		{"plan-report", []string{"plan", "../../scenarios/e2e/testdata/broad-neighbour.yaml"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			_, out, errs := said(t, append(tt.args, "-o", "json")...)
			for _, open := range []bool{true, false} {
				if err := valid(t, schemaOf(t, tt.schema, open), out); err != nil {
					t.Errorf("open=%t: %v\n%s\n%.2000s", open, err, errs, out)
				}
			}
			var head document
			if err := json.Unmarshal([]byte(out), &head); err != nil || head.APIVersion != outputVersion || head.Kind != documents[tt.schema].kind {
				t.Errorf("%v: begins with %+v", err, head)
			}
		})
	}
}

// A schema that everything fits would show nothing.
func TestASchemaRefusesWhatIsWrong(t *testing.T) {
	_, out, _ := said(t, "lint", "-f", manifests(t, gateway), "-o", "json")
	for old, with := range map[string]string{`"info"`: `"fatal"`, `"rule"`: `"Rule"`, `"kind": "LintReport"`: `"kind": 1`, outputVersion: "v2"} {
		broken := strings.ReplaceAll(out, old, with)
		if broken == out {
			t.Fatalf("%s is not in %s", old, out)
		}
		if valid(t, schemaOf(t, "lint-report", false), broken) == nil {
			t.Errorf("%s instead of %s is valid", with, old)
		}
	}
}

// valid holds a document against a schema.
func valid(t *testing.T, schema []byte, text string) error {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}
