package lint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// author writes files of many documents as people, editors and generators do.
type author struct {
	*rand.Rand
	names int
}

func (a *author) maybe() bool { return a.IntN(2) == 0 }

func (a *author) one(of ...string) string { return of[a.IntN(len(of))] }

// comment is one, or nothing, on a line of its own.
func (a *author) comment(indent string) string {
	return a.one("", "", "\n", indent+"# "+a.one("why", "--- no sign", "a: b", "TODO: tighten", "üñí")+"\n")
}

func (a *author) name() string {
	a.names++
	return fmt.Sprintf("n%d", a.names)
}

// rule is an item of ingress, often with a mistake.
func (a *author) rule(indent string) string {
	rule := a.one(
		"- from: []%s\n  ports: [{port: 80}]\n",
		"- from:%s\n  - podSelector: {}\n",
		"- ports: []%s\n  from:\n  - podSelector: {matchLabels: {app: \"x\"}}\n",
		"- {}%s\n",
		"- from:%s\n\n  - ipBlock:\n      cidr: 10.0.0.0/8\n      except:   [10.1.0.0/16]\n  ports:\n  - port: 8080\n    protocol: TCP\n",
	)
	rule = fmt.Sprintf(rule, a.one("", "", " # here", "   #   and here"))
	var out strings.Builder
	out.WriteString(a.comment(indent))
	for line := range strings.Lines(rule) {
		if line != "\n" {
			line = indent + line
		}
		out.WriteString(line)
	}
	return out.String()
}

// policy is a NetworkPolicy in lines, indented as an item of a list is.
func (a *author) policy(indent string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	line("apiVersion: networking.k8s.io/v1")
	line("kind: %s", a.one("NetworkPolicy", "\"NetworkPolicy\"", "NetworkPolicy # v1"))
	line("metadata:%s", a.one("", "  # who"))
	line("  name: %s", a.name())
	line("  namespace: %s", a.one("ai", "'ai'", "ops"))
	if a.maybe() {
		line("  annotations:")
		line("    note: |%s", a.one("", "-", "+"))
		line("      ---")
		line("      # no comment")
		b.WriteString(a.one("", "\n"))
		line("      last   ")
	}
	line("spec:")
	anchored := a.maybe()
	line("  podSelector: %s", map[bool]string{true: "&all {}", false: "{ matchLabels: {app: x} }"}[anchored])
	if a.maybe() {
		line("  policyTypes: [Ingress]")
	}
	line("  ingress:%s", a.one("", " # in"))
	for range 1 + a.IntN(3) {
		b.WriteString(a.rule(indent + "  "))
	}
	if anchored && a.maybe() {
		line("  egress:")
		line("  - to:")
		line("    - podSelector: *all")
	}
	return b.String()
}

// document is one of any kind; flow says that it may stand behind its sign.
func (a *author) document() (text string, flow bool) {
	switch a.IntN(8) {
	case 0:
		return fmt.Sprintf("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: ai, name: %s}, spec: {podSelector: {}, ingress: [{from: [], ports: [{port: 80}]}]}}\n", a.name()), true
	case 1:
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", a.name()), false
	case 2:
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  a.yaml: |\n    ---\n    kind: NetworkPolicy\n    ...\n", a.name()), false
	case 3:
		list := "apiVersion: v1\nkind: List\nitems:\n"
		for range 1 + a.IntN(2) {
			item := a.policy("  ")
			list += "- " + item[2:]
		}
		return list, false
	case 4:
		return a.one("", "# nothing\n", "\n\n"), false
	}
	return a.policy(""), false
}

// file is one of up to four documents.
func (a *author) file() []byte {
	var b strings.Builder
	b.WriteString(a.one("", "# A licence.\n", "# A licence.\n---\n", "%YAML 1.2\n---\n", "---\n"))
	for i := range 1 + a.IntN(4) {
		if i > 0 {
			b.WriteString(a.one("", "", "# the next one\n", "\n", "...\n", "...\n# between\n"))
		}
		text, flow := a.document()
		switch {
		case i == 0:
		case flow && a.maybe():
			b.WriteString("--- ")
		default:
			b.WriteString(a.one("---\n", "---\n", "--- # sign\n", "---   \n"))
		}
		b.WriteString(a.one("", "", "# about it\n", "\n"))
		b.WriteString(text)
	}
	raw := []byte(b.String())
	if a.IntN(4) == 0 {
		raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	}
	if a.IntN(4) == 0 {
		raw = bytes.TrimRight(raw, "\r\n")
	}
	if a.IntN(8) == 0 {
		raw = append([]byte("\ufeff"), raw...)
	}
	return raw
}

// A thousand files, each corrected once, and one in ten until nothing is left: all
// the time it holds the same documents.
func TestGeneratedFilesStayWhatTheyAre(t *testing.T) {
	a := &author{Rand: rand.New(rand.NewPCG(1, 2))}
	files, corrected := 0, 0
	for files < 1000 {
		raw := a.file()
		before, err := manifest.ReadStream("a.yaml", bytes.NewReader(raw), manifest.Options{})
		if err != nil {
			if !strings.Contains(err.Error(), "nothing to judge") {
				t.Fatalf("the author wrote what cannot be read: %v\n%s", err, raw)
			}
			continue
		}
		files++
		for round := 0; ; round++ {
			after, done := rewritten(t, before, map[string][]byte{"a.yaml": raw}, Warning)
			if corrected += len(done); len(done) == 0 {
				break
			}
			now, err := manifest.ReadStream("a.yaml", bytes.NewReader(after["a.yaml"]), manifest.Options{})
			if err != nil || round > 10 {
				t.Fatalf("after %d rounds: %v\n%s\n---------- was\n%s", round, err, after["a.yaml"], raw)
			}
			sameButNamed(t, before, now, done)
			if files%10 > 0 {
				break
			}
			printedAsWritten(t, before, now)
			before, raw = now, after["a.yaml"]
		}
		if t.Failed() {
			t.Fatalf("%s", raw)
		}
	}
	if corrected < 1000 {
		t.Errorf("only %d documents were corrected", corrected)
	}
	t.Logf("%d corrections in %d files", corrected, files)
}

// FuzzFix corrects anything that can be read: what it writes holds the same
// documents, and what it prints means the same.
func FuzzFix(f *testing.F) {
	a := &author{Rand: rand.New(rand.NewPCG(3, 4))}
	for range 40 {
		f.Add(a.file())
	}
	for _, s := range stories(f) {
		f.Add([]byte(s.text + "\n---\n" + s.base))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before, err := manifest.ReadStream("a.yaml", bytes.NewReader(raw), manifest.Options{})
		if err != nil {
			return
		}
		after, done := rewritten(t, before, map[string][]byte{"a.yaml": raw}, Info)
		if len(done) == 0 {
			return
		}
		now, err := manifest.ReadStream("a.yaml", bytes.NewReader(after["a.yaml"]), manifest.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, after["a.yaml"])
		}
		sameButNamed(t, before, now, done)
	})
}
