package manifest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const spliced = "# first\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n--- # second\napiVersion: v1\nkind: Namespace\nmetadata: {name: b} # b\n...\n---\n{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"c\"}}\n"

// changeOf gives the document of an object another text, which is to mean itself
// unless something else is wanted.
func changeOf(t *testing.T, set *Set, name, text, want string) Change {
	t.Helper()
	source, ok := set.Source("Namespace", "", name)
	if !ok {
		t.Fatalf("no Namespace %s was read", name)
	}
	if want == "" {
		want = text
	}
	n, err := Parse([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	return Change{Source: source, Text: []byte(text), Want: n}
}

func readText(t *testing.T, text string) *Set {
	t.Helper()
	set, err := ReadStream("a.yaml", strings.NewReader(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestSpliceChangesOneDocumentAndNoOtherByte(t *testing.T) {
	const label = "--- # second\napiVersion: v1\nkind: Namespace\nmetadata: {name: b, labels: {x: one}} # b\n"
	for name, raw := range map[string]string{
		"as it is":               spliced,
		"with a byte order mark": "\ufeff" + spliced,
		"with carriage returns":  strings.ReplaceAll(spliced, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Splice("a.yaml", []byte(raw), []Change{changeOf(t, readText(t, raw), "b", label, "")})
			if err != nil {
				t.Fatal(err)
			}
			before, rest, _ := strings.Cut(raw, "--- # second")
			_, after, _ := strings.Cut(rest, "...")
			if want := before + label + "..." + after; string(got) != want {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
		})
	}
}

// What Splice does not prove it does not return.
func TestSpliceRefuses(t *testing.T) {
	const inJSON = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}`
	set := readText(t, spliced)
	const second = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"
	for name, tt := range map[string]struct {
		raw    string
		change Change
		says   string
	}{
		"a document that loses its sign":      {spliced, changeOf(t, set, "b", second[4:], ""), "it would have 2 documents in place of 3"},
		"one that becomes two":                {spliced, Change{Source: changeOf(t, set, "b", second, "").Source, Text: []byte(second + second), Want: changeOf(t, set, "b", second, "").Want}, "4 documents in place of 3"},
		"one that becomes none":               {spliced, changeOf(t, set, "b", "--- # nothing\n", second), "2 documents in place of 3"},
		"one that means something else":       {spliced, changeOf(t, set, "b", second+"# more\nspec: {}\n", second), "would not be read as it is meant"},
		"other values than are wanted":        {spliced, changeOf(t, set, "b", strings.Replace(second, "{name: b}", "{name: b, labels: {x: two}}", 1), strings.Replace(second, "{name: b}", "{name: b, labels: {x: one}}", 1)), "would not be read as it is meant"},
		"another object":                      {spliced, changeOf(t, set, "b", strings.Replace(second, "name: b", "name: z", 1), ""), "would be another object"},
		"what the reader does not take":       {spliced, changeOf(t, set, "b", second+"spec: {unknown: 1}\n", ""), "unknown"},
		"a file that has changed":             {"#\n" + spliced, changeOf(t, set, "b", second, ""), ErrMoved.Error()},
		"what is no YAML":                     {spliced, changeOf(t, set, "b", second+"}", second), "is not YAML"},
		"a document that is JSON":             {inJSON, changeOf(t, readText(t, inJSON), "c", second, ""), "written as JSON"},
		"an object of a cluster":              {spliced, Change{Source: Source{Kind: "Namespace", Name: "b"}}, "object of a cluster"},
		"an end that runs into the next sign": {spliced, changeOf(t, set, "a", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}", ""), "in place of 3"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := []byte(tt.raw)
			got, err := Splice("a.yaml", raw, []Change{tt.change})
			if err == nil || !strings.Contains(err.Error(), tt.says) || got != nil {
				t.Errorf("got %q and error %v, want none and %q", got, err, tt.says)
			}
			if !bytes.Equal(raw, []byte(tt.raw)) {
				t.Error("it changes what it is given")
			}
		})
	}
	_, err := Splice("a.yaml", []byte("#\n"+spliced), []Change{changeOf(t, set, "b", second, "")})
	if !errors.Is(err, ErrMoved) {
		t.Errorf("the error is %v, want ErrMoved", err)
	}
}

func TestPlainWritesOutAliasesAndMergeKeys(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"an alias":                         {"a: &x {b: 1}\nc: *x", "{a: {b: 1}, c: {b: 1}}"},
		"a merge key":                      {"a: &x {b: 1, c: 2}\nd: {<<: *x, e: 3}", "{a: {b: 1, c: 2}, d: {b: 1, c: 2, e: 3}}"},
		"own fields go before merged ones": {"a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", "{a: {b: 1, c: 2}, d: {b: 1, c: 3}}"},
		"of several the first counts":      {"a: &x {b: 1}\nc: &y {b: 2, d: 4}\ne: {<<: [*y, *x]}", "{a: {b: 1}, c: {b: 2, d: 4}, e: {b: 2, d: 4}}"},
		"merges in what is merged":         {"a: &x {b: 1}\nc: &y {<<: *x, d: 2}\ne: {<<: *y}", "{a: {b: 1}, c: {b: 1, d: 2}, e: {b: 1, d: 2}}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			want, err := Parse([]byte(tt.want))
			if err != nil || !Same(got, want) || !Same(Plain(got), want) {
				t.Errorf("%q does not mean %q (%v)", tt.text, tt.want, err)
			}
		})
	}
}

func TestSameTellsMeaningsApart(t *testing.T) {
	const text = "a: [1, {b: x}]"
	for name, tt := range map[string]struct {
		other string
		same  bool
	}{
		"styles and comments": {"a: # c\n- 1\n- b: \"x\"", true},
		"a type":              {"a: ['1', {b: x}]", false},
		"a value":             {"a: [1, {b: y}]", false},
		"a field":             {"a: [1, {c: x}]", false},
		"an item more":        {"a: [1, {b: x}, 2]", false},
		"nothing":             {"# a", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := Parse([]byte(text))
			b, err := Parse([]byte(tt.other))
			if got := Same(a, b); err != nil || got != tt.same || Same(b, a) != tt.same {
				t.Errorf("Same is %v, want %v (%v)", got, tt.same, err)
			}
		})
	}
}
