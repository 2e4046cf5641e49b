package manifest

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/strict"
)

const (
	lookahead = 8       // lines that the YAML library reads ahead, at most
	maxLocate = 1 << 20 // bytes of a document that is read again to find a line
)

// syntax finds the line in the document's text of an error of the YAML library,
// and what it is without the line that the library names. That is often the one where the block around
// the fault begins, many lines above.
func (d *document) syntax(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		number, rest, _ := strings.Cut(rest, ": ")
		what = rest
		if line, err := strconv.Atoi(number); err == nil && strings.HasPrefix(what, "found unexpected") {
			return d.fileLine(line), what // where a quote begins that does not end
		}
	}
	lines := &lineReader{text: d.text}
	fails := func(from io.Reader) bool { return yaml.NewDecoder(from).Decode(&yaml.Node{}) != nil }
	fails(lines)
	line = lines.read
	// What is read ahead is more than what is wrong: go back as long as the text
	// up to there is wrong too.
	for range lookahead {
		if line <= 1 || len(d.text) > maxLocate || !fails(bytes.NewReader(lines.upTo(line-1))) {
			break
		}
		line--
	}
	return max(line, 1), what
}

// refusedTab is the line of a tab for which Kubernetes refuses the document though
// it says nothing; 0: there is none.
func (d *document) refusedTab() int {
	line := strict.TabbedLine(d.text)
	if line == 0 || d.within {
		return 0
	}
	if _, err := sigsyaml.YAMLToJSON(d.text); err != nil && strings.Contains(err.Error(), "cannot start any token") {
		return line
	}
	return 0
}

// lineReader gives a line at a time, and so knows how far its reader came.
type lineReader struct {
	text   []byte
	offset int
	read   int // lines
}

func (l *lineReader) Read(into []byte) (int, error) {
	if l.offset == len(l.text) {
		return 0, io.EOF
	}
	rest := l.text[l.offset:]
	n := bytes.IndexByte(rest, '\n') + 1
	if n == 0 {
		n = len(rest)
	}
	if n > len(into) {
		n = len(into) // the line goes on with the next call
	} else {
		l.read++
	}
	copy(into, rest[:n])
	l.offset += n
	return n, nil
}

func (l *lineReader) upTo(line int) []byte {
	end := 0
	for range line {
		n := bytes.IndexByte(l.text[end:], '\n')
		if n < 0 {
			return l.text
		}
		end += n + 1
	}
	return l.text[:end]
}

// oddBreaks are the lines that begin after what breaks a line for the YAML
// library and for no editor: a carriage return by itself, and the NEL, LS and PS
// of Unicode. They are counted as the library counts, from 1.
func oddBreaks(text []byte) []int {
	if !bytes.ContainsRune(text, '\r') && !bytes.ContainsRune(text, '\u0085') && !bytes.ContainsRune(text, '\u2028') && !bytes.ContainsRune(text, '\u2029') {
		return nil
	}
	var odd []int
	line := 1
	for i, r := range string(text) {
		switch r {
		case '\n':
			line++
		case '\r', '\u0085', '\u2028', '\u2029':
			if r == '\r' && i+1 < len(text) && text[i+1] == '\n' {
				continue // one break, counted at the line feed
			}
			line++
			odd = append(odd, line)
		}
	}
	return odd
}

// fileLine turns a line of the YAML library into one of the text.
func (d *document) fileLine(line int) int {
	above, _ := slices.BinarySearch(d.odd, line+1)
	return line - above
}
