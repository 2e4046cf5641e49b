package charts

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/deploy"
)

var update = flag.Bool("update", false, "write the chart and the base anew")

const root = "../.."

func TestChartAndBaseAreWhatIsGenerated(t *testing.T) {
	want, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		rewrite(t, want)
	}
	seen := 0
	for _, folder := range []string{Chart, Base} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			got, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if seen++; !bytes.Equal(got, want[filepath.ToSlash(name)]) {
				t.Errorf("%s is not what is generated: run `make generate`", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != len(want) {
		t.Errorf("%d files are there and %d are generated: run `make generate`", seen, len(want))
	}
}

func rewrite(t *testing.T, files map[string][]byte) {
	t.Helper()
	for _, folder := range []string{Chart, Base} {
		if err := os.RemoveAll(filepath.Join(root, folder)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Who adds an option to package deploy decides whether charts have it.
func TestEveryOptionIsAValueOrIsLeftOutOnPurpose(t *testing.T) {
	decided := map[string]bool{}
	for _, v := range values {
		decided[v.option] = true
	}
	for option := range notValues {
		decided[option] = true
	}
	options := reflect.TypeFor[deploy.Options]()
	for i := range options.NumField() {
		if name := options.Field(i).Name; !decided[name] {
			t.Errorf("option %s is neither among values nor among notValues", name)
		}
		delete(decided, options.Field(i).Name)
	}
	for name := range decided {
		t.Errorf("there is no option %s", name)
	}
}

func TestValuesAreWhereTheOptionsWere(t *testing.T) {
	files, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	deployment := string(files[Chart+"/templates/deployment-tightrope-controller.yaml"])
	for _, want := range []string{
		"image: {{ .Values.images.controller | quote }}\n",
		`- {{ printf "--agent-image=%s" .Values.images.agent | quote }}` + "\n",
		"      {{- with .Values.imagePullSecrets }}\n      imagePullSecrets:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n",
		"        {{- range .Values.probes.imagePullSecrets }}\n        - {{ printf \"--image-pull-secret=%s\" . | quote }}\n        {{- end }}\n",
		"        {{- range $key, $value := .Values.probes.nodeSelector }}\n        - {{ printf \"--probe-node-selector=%s=%s\" $key $value | quote }}\n        {{- end }}\n",
		"        {{- range .Values.probes.tolerations }}\n        - {{ printf \"--probe-toleration=%s\" . | quote }}\n        {{- end }}\n",
		"      {{- if not .Values.ordinary }}\n      priorityClassName: system-cluster-critical\n      {{- end }}\n",
		"app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}\n",
	} {
		if !strings.Contains(deployment, want) {
			t.Errorf("no %q in\n%s", want, deployment)
		}
	}
}

func TestSwitchesBecomeConditions(t *testing.T) {
	m := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	l := func(items ...any) []any { return items }
	for name, tt := range map[string]struct {
		off, on any
		want    string // empty: it cannot be written
	}{
		"nothing":              {m("a", "1"), m("a", "1"), "a: \"1\"\n"},
		"a key goes":           {m("a", "1", "b", "2"), m("a", "1"), "a: \"1\"\n{{- if not .x }}\nb: \"2\"\n{{- end }}\n"},
		"a key comes":          {m("a", "1"), m("a", "1", "b", m("c", "2")), "a: \"1\"\n{{- if .x }}\nb:\n  c: \"2\"\n{{- end }}\n"},
		"an item comes":        {m("a", l("p")), m("a", l("q", "p")), "a:\n{{- if .x }}\n- q\n{{- end }}\n- p\n"},
		"an item goes":         {m("a", l("p", m("k", "v"))), m("a", l("p")), "a:\n- p\n{{- if not .x }}\n- k: v\n{{- end }}\n"},
		"within an item":       {l(m("k", "v", "z", "1")), l(m("k", "v")), "- k: v\n  {{- if not .x }}\n  z: \"1\"\n  {{- end }}\n"},
		"braces are no action": {m("a", "{{ b }}"), m("a", "{{ b }}"), "a: '{{ \"{{\" }} b }}'\n"},
		"two values":           {m("a", "1"), m("a", "2"), ""},
		"another order":        {m("a", l("p", "q", "r")), m("a", l("r", "p")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt := tt
			merged, err := differ(tt.off, tt.on, ".x", "object")
			if err != nil {
				if tt.want != "" {
					t.Error(err)
				}
				return
			}
			out := &template{}
			got, err := out.write(out.mark(merged, nil))
			if err != nil || got != tt.want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
}

func TestTwoSwitchesKeepToTheirOwn(t *testing.T) {
	base := map[string]any{"a": "1", "b": "2", "l": []any{"p", "q"}}
	first, err := differ(base, map[string]any{"b": "2", "c": "3", "l": []any{"p", "q", "r"}}, ".x", "object")
	if err != nil {
		t.Fatal(err)
	}
	second, err := differ(first, map[string]any{"a": "1", "l": []any{"q"}}, ".y", "object")
	if err != nil {
		t.Fatal(err)
	}
	out := &template{}
	got, err := out.write(out.mark(second, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"{{- if not .x }}\na: \"1\"\n{{- end }}\n", "{{- if not .y }}\nb: \"2\"\n{{- end }}\n", "{{- if .x }}\nc: \"3\"\n{{- end }}\n",
		"l:\n{{- if not .y }}\n- p\n{{- end }}\n- q\n{{- if .x }}\n- r\n{{- end }}\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if _, err := differ(first, map[string]any{"b": "2", "l": []any{"p", "q"}}, ".y", "object"); err == nil || !strings.Contains(err.Error(), "two switches") {
		t.Errorf("a key that goes by either switch: %v", err)
	}
}
