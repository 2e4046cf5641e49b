package report

import (
	"bytes"
	"io"
	"strings"
)

// maxMarkdownColumns bounds the matrix in Markdown, which cannot scroll.
const maxMarkdownColumns = 12

// WriteMarkdown writes report.md, in GitHub's dialect: fit to be pasted into an
// issue. Everything from outside is shown as text: no link, mention, image,
// HTML or table structure can come from a name.
func WriteMarkdown(w io.Writer, r *Report) error {
	var b bytes.Buffer
	m := resultMark(r.Result)
	b.WriteString("# " + m.Symbol + " " + markdown(m.Word) + "\n\n" + markdownEscapes.Replace(Sentence(r)) + "\n")
	for i, l := range details(r) {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("    " + l + "\n") // indented code: nothing in it is markup
	}
	if ok, why := r.Verdict(); !ok && r.Expected != "" {
		b.WriteString("\nNot as expected: " + markdownEscapes.Replace(why) + "\n")
	}
	b.WriteString("\n")
	for _, f := range facts(r) {
		b.WriteString("- " + f[0] + ": " + markdown(f[1]) + "\n")
	}
	if len(r.Cuts) > 0 {
		markdownTable(&b, cutsTable(r))
	}
	if len(r.Leaks) > 0 {
		markdownTable(&b, leaksTable(r))
	}
	markdownTable(&b, phasesTable(r))
	if len(r.Approvals) > 0 {
		markdownTable(&b, approvalsTable(r))
	}
	markdownMatrix(&b, r)
	for _, t := range []table{notTestedTable(r), pathsTable(r), predictedTable(r), exposuresTable(r), accessTable(r), policiesTable(r)} {
		markdownTable(&b, t)
	}
	return emit(w, "report.md", b.Bytes())
}

func markdownTable(b *bytes.Buffer, t table) {
	b.WriteString("\n## " + t.Title + "\n\n")
	if len(t.Rows) == 0 {
		b.WriteString(t.None + "\n")
		return
	}
	if t.About != "" {
		b.WriteString(t.About + "\n\n")
	}
	rule := "|"
	for _, c := range t.Head {
		b.WriteString("| " + c.Name + " ")
		if c.Num {
			rule += " --: |"
		} else {
			rule += " --- |"
		}
	}
	b.WriteString("|\n" + rule + "\n")
	for _, row := range t.Rows {
		markdownRow(b, row.Cells)
	}
}

func markdownRow(b *bytes.Buffer, cells []string) {
	for _, c := range cells {
		b.WriteString("| " + markdown(c) + " ")
	}
	b.WriteString("|\n")
}

func markdownMatrix(b *bytes.Buffer, r *Report) {
	m, ok := matrixOf(r)
	if !ok || len(m.Rows[0].Cells) > maxMarkdownColumns {
		return // the list of paths says the same
	}
	b.WriteString("\n## Paths\n\n" + matrixKey + "\n\n| From ")
	for _, t := range m.Targets {
		for _, port := range t.Ports {
			b.WriteString("| " + markdown(t.String()+":"+port) + " ")
		}
	}
	b.WriteString("|\n|" + strings.Repeat(" --- |", len(m.Rows[0].Cells)+1) + "\n")
	for _, row := range m.Rows {
		cells := []string{row.String()}
		for _, c := range row.Cells {
			cells = append(cells, c.Text())
		}
		markdownRow(b, cells)
	}
}

// matrixKey explains the words of the matrix.
const matrixKey = "✓ allowed and ✓ denied are as they must be; ✕ cut must work and did not; ! leak must not work and did; " +
	"? inconclusive never counts as a pass; an empty cell was not in the suite."

// markdownEscapes turn what Markdown or HTML would read into what they show.
// The empty comment after @ and inside an address keeps GitHub from making
// mentions and links of them, which it does after decoding entities.
var markdownEscapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;",
	"|", "&#124;", "`", "&#96;", "*", "&#42;", "_", `\_`, "[", "&#91;", "]", "&#93;", `\`, "&#92;",
	"#", "&#35;", "~", "&#126;", "$", "&#36;",
	"://", ":<!-- -->//", "www.", "www<!-- -->.", "@", "@<!-- -->",
)

// markdown sanitizes and escapes text for Markdown, table cells included.
func markdown(s string) string { return markdownEscapes.Replace(Sanitize(s)) }
