package lint

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var updateRules = flag.Bool("update-rules", false, "write the rules into docs/lint.md")

// Whoever meets a rule's name in a report finds it in the documents.
func TestEveryRuleIsDocumented(t *testing.T) {
	const file, begin, end = "../../docs/lint.md", "-update-rules -->\n", "<!-- end of the rules -->"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the rules", file)
	}
	var table strings.Builder
	table.WriteString("| rule | finds | source |\n| --- | --- | --- |\n")
	last := ""
	for _, m := range Mistakes() {
		if m.ID <= last {
			t.Errorf("rule %s stands behind %s", m.ID, last)
		}
		last = m.ID
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", m.ID, m.What, m.Source)
	}
	want := head + begin + table.String() + end + tail
	switch {
	case string(raw) == want:
	case *updateRules:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not list the rules as they are: go test ./verdict/lint -run Documented -update-rules", file)
	}
}
