package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// What Parse reads at most: a report may come from anyone.
const (
	MaxBytes = 32 << 20 // of report.json
	MaxRows  = 20_000   // in any one list of it
)

// ErrSchema says that a document is not a report of a version known here.
var ErrSchema = errors.New("unknown report schema")

// JSON writes report.json: indented, lists never null, times in UTC, findings
// always one of the four words. The same report gives the same bytes. Only
// printable characters stand for themselves, so that showing the file on a
// terminal or pasting it into a page does nothing. It fails on a figure JSON
// has no word for (a latency that is NaN or infinite, a year beyond 9999).
func (r *Report) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(r.normal(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report of run %q: encode: %w", Sanitize(r.Run), err)
	}
	return append(escapeUnprintable(data), '\n'), nil
}

// escapeUnprintable rewrites what encoding/json leaves bare though it is not
// printable: DEL, C1 controls, bidirectional overrides, zero-width characters.
// They can only stand inside strings, where \u escapes mean the same. U+FFFD is
// among them because encoding/json writes it that way for bytes that are no
// text: it would read back as itself and the file would not be stable.
func escapeUnprintable(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\n' || unicode.IsPrint(r) && r != utf8.RuneError:
			out = append(out, data[:size]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[size:]
	}
	return out
}

// Parse reads report.json. It refuses another schema version (ErrSchema), more
// than MaxBytes, a list of more than MaxRows and anything after the document.
// It ignores keys that it does not know, so that a newer writer of the same
// version can be read. An unknown finding is read as Inconclusive.
func Parse(data []byte) (*Report, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("report has %d bytes, more than %d: not a report this version wrote", len(data), MaxBytes)
	}
	if err := boundLists(data); err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("report is not valid JSON for %s: %w", SchemaVersion, err)
	}
	if r.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("%w %q: this version reads %q; use the tightrope that wrote the report",
			ErrSchema, Sanitize(r.SchemaVersion), SchemaVersion)
	}
	return r.normal(), nil
}

// boundLists counts the elements of every list before any is allocated: an
// element of two bytes may become a structure of several hundred.
func boundLists(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []int // per open bracket: elements so far, -1 for an object
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil // an incomplete document is for Unmarshal to refuse
		}
		if err != nil {
			return fmt.Errorf("report is not valid JSON: %w", err)
		}
		delim, isDelim := tok.(json.Delim)
		if isDelim && (delim == ']' || delim == '}') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1] >= 0 {
			if open[n-1]++; open[n-1] > MaxRows {
				return fmt.Errorf("report has a list of more than %d elements: not a report this version wrote", MaxRows)
			}
		}
		switch {
		case isDelim && len(open) == 16:
			return errors.New("report nests deeper than 16 levels: not a report this version wrote")
		case delim == '[':
			open = append(open, 0)
		case delim == '{':
			open = append(open, -1)
		}
	}
}

// normal returns a copy in the one form that readers see; r stays as it is.
func (r *Report) normal() *Report {
	c := *r
	if c.SchemaVersion == "" {
		c.SchemaVersion = SchemaVersion
	}
	c.Started, c.Ended = c.Started.UTC(), c.Ended.UTC()
	c.Phases = copied(r.Phases, func(p *Phase) { p.From, p.To = p.From.UTC(), p.To.UTC() })
	c.Paths = copied(r.Paths, func(p *Path) {
		p.FirstSeen, p.LastSeen = p.FirstSeen.UTC(), p.LastSeen.UTC()
		p.Finding = p.Finding.known()
	})
	inUTC := func(k *Cut) { k.At = k.At.UTC() }
	c.Cuts, c.Leaks = copied(r.Cuts, inUTC), copied(r.Leaks, inUTC)
	if len(r.Approvals) > 0 { // a list that may be left out
		c.Approvals = copied(r.Approvals, func(a *Approval) { a.At = a.At.UTC() })
	}
	c.Predicted = copied(r.Predicted, nil)
	c.Exposures = copied(r.Exposures, nil)
	c.TemporaryAccess = copied(r.TemporaryAccess, func(a *Access) {
		a.From, a.To = a.From.UTC(), a.To.UTC()
		a.Pods = copied(a.Pods, nil)
	})
	c.Policies = copied(r.Policies, nil)
	c.NotTested = copied(r.NotTested, nil)
	return &c
}

// copied copies a list, never to nil, and edits each element of the copy.
func copied[T any](list []T, edit func(*T)) []T {
	out := append(make([]T, 0, len(list)), list...)
	if edit != nil {
		for i := range out {
			edit(&out[i])
		}
	}
	return out
}
