package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// values cuts a document that is JSON into its values, and a List of them into
// its items, so that a long list is never in memory as a tree. A document that
// is no JSON, as YAML in braces, stays as it is.
func (d *document) values() []*document {
	start := bytes.IndexFunc(d.text, func(r rune) bool { return !strings.ContainsRune(" \t\r\n", r) })
	if start < 0 || d.text[start] != '{' && d.text[start] != '[' {
		return []*document{d}
	}
	all, err := d.cut()
	if err != nil && strings.HasSuffix(d.file, ".json") {
		all = []*document{{file: d.file, line: d.line, col: d.col, text: d.text, json: true, within: d.within}} // tells its fault when it is parsed
	} else if err != nil {
		return []*document{d}
	}
	return all
}

// cut cuts at the top level. It fails where the text is not JSON all through.
func (d *document) cut() ([]*document, error) {
	c := cursor{text: d.text, line: 1, col: 1}
	reader := json.NewDecoder(bytes.NewReader(d.text))
	var all []*document
	for {
		begin := c.skip(int(reader.InputOffset()))
		if begin == len(d.text) {
			return all, nil
		}
		line, col := c.line, c.col
		var whole json.RawMessage
		if err := reader.Decode(&whole); err != nil {
			return nil, err
		}
		value := d.part(begin, int(reader.InputOffset()), line, col)
		items := value.items()
		if items == nil {
			items = []*document{value}
		}
		all = append(all, items...)
	}
}

// part is the part of a document that begins at a line and column of it.
func (d *document) part(begin, end, line, col int) *document {
	at := d.position(&yaml.Node{Line: line, Column: col})
	return &document{file: d.file, line: at.Line, col: at.Column, text: d.text[begin:end], json: true, within: d.within}
}

// items are the items of a List, or nil of anything else. It has been read once,
// so it is JSON.
func (d *document) items() []*document {
	c := cursor{text: d.text, line: 1, col: 1}
	reader := json.NewDecoder(bytes.NewReader(d.text))
	if t, err := reader.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	fields, items := map[string]json.RawMessage{}, []*document{}
	for reader.More() {
		key, err := reader.Token()
		if err != nil {
			return nil
		}
		begin := c.skip(int(reader.InputOffset()))
		if name, _ := key.(string); name != "items" || d.text[begin] != '[' {
			var value json.RawMessage
			if reader.Decode(&value) != nil || fields[name] != nil {
				return nil // stated twice: the strict reading tells it
			}
			fields[name] = value
			continue
		}
		if len(items) > 0 {
			return nil
		}
		_, _ = reader.Token()
		for reader.More() {
			begin := c.skip(int(reader.InputOffset()))
			line, col := c.line, c.col
			var item json.RawMessage
			if err := reader.Decode(&item); err != nil {
				return nil
			}
			items = append(items, d.part(begin, int(reader.InputOffset()), line, col))
		}
		_, _ = reader.Token()
	}
	return listed(fields, items)
}

// listed gives the items the header of their list. It is nil where the fields
// are not those of a list, or there are none, so that the whole is read strictly.
func listed(fields map[string]json.RawMessage, items []*document) []*document {
	var h header
	for name, value := range fields {
		var err error
		switch name {
		case "apiVersion":
			err = json.Unmarshal(value, &h.apiVersion)
		case "kind":
			err = json.Unmarshal(value, &h.kind)
		case "metadata":
		default:
			return nil
		}
		if err != nil {
			return nil
		}
	}
	if !h.isList() || len(items) == 0 {
		return nil
	}
	for _, item := range items {
		item.listed = h.item()
	}
	return items
}

// parseJSON makes the tree that the YAML library would make. JSON is read by
// itself because YAML does not have all of its escapes.
// Of an error, the node says where.
func parseJSON(text []byte) (*yaml.Node, error) {
	p := jsonParser{reader: json.NewDecoder(bytes.NewReader(text)), at: cursor{text: text, line: 1, col: 1}}
	p.reader.UseNumber()
	n, err := p.value()
	if err == nil {
		var more json.RawMessage
		if err = p.reader.Decode(&more); err == nil {
			err = errors.New("a second value follows the first")
		}
	}
	if !errors.Is(err, io.EOF) {
		return p.explain(err)
	}
	return n, nil
}

type jsonParser struct {
	reader *json.Decoder
	at     cursor
	depth  int
}

func (p *jsonParser) explain(err error) (*yaml.Node, error) {
	offset := int64(p.at.skip(int(p.reader.InputOffset())))
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = max(offset, syntax.Offset)
	}
	line := 1 + bytes.Count(p.at.text[:min(offset, int64(len(p.at.text)))], []byte("\n"))
	return &yaml.Node{Line: line}, fmt.Errorf("is not JSON: %s", strict.Show(err.Error()))
}

func (p *jsonParser) value() (*yaml.Node, error) {
	p.at.skip(int(p.reader.InputOffset()))
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.at.line, Column: p.at.col}
	token, err := p.reader.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		return n, p.collection(n, t)
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func (p *jsonParser) collection(n *yaml.Node, open json.Delim) error {
	n.Kind, n.Tag, n.Style = yaml.MappingNode, "!!map", yaml.FlowStyle
	if open == '[' {
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	}
	if p.depth++; p.depth > maxDepth {
		return fmt.Errorf("nested more than %d levels deep", maxDepth)
	}
	defer func() { p.depth-- }()
	for p.reader.More() {
		inner, err := p.value()
		if err != nil {
			return err
		}
		n.Content = append(n.Content, inner)
	}
	_, err := p.reader.Token()
	return err
}

// cursor turns offsets that only grow into lines and columns.
type cursor struct {
	text              []byte
	offset, line, col int
}

// skip goes on to the next value at or after the offset, and returns where that is.
func (c *cursor) skip(offset int) int {
	for c.offset < offset || c.offset < len(c.text) && strings.IndexByte(" \t\r\n,:", c.text[c.offset]) >= 0 {
		c.col++
		if c.text[c.offset] == '\n' {
			c.line, c.col = c.line+1, 1
		}
		c.offset++
	}
	return c.offset
}
