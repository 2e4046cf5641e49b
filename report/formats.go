package report

import (
	"fmt"
	"io"
)

// Format is one document that a report is written as.
type Format struct {
	File  string // its name in a report directory
	Holds string // what it is for, in words
	Write func(io.Writer, *Report) error
}

// Formats are the files of a report directory, in the order to name them.
var Formats = []Format{
	{"report.html", "for people: one page, needs nothing else", WriteHTML},

	{"report.md", "for an issue or a pull request", WriteMarkdown},
	{"junit.xml", "for CI", WriteJUnit},
	{"report.json", "for programs, and to make the others again", WriteJSON},
}

// WriteJSON writes report.json; see Report.JSON.
func WriteJSON(w io.Writer, r *Report) error {
	data, err := r.JSON()
	if err != nil {
		return err
	}
	return emit(w, "report.json", data)
}

// WriteWhere tells a person where the files of a report are.
func WriteWhere(w io.Writer, dir string) error {
	text := "Report in " + Sanitize(dir) + "\n"
	for _, f := range Formats {
		text += fmt.Sprintf("  %-12s %s\n", f.File, f.Holds)
	}
	return emit(w, "report files", []byte(text))
}

// emit writes a finished document at once: a document is whole or an error.
func emit(w io.Writer, name string, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
