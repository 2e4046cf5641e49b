package charts

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// object is one of an installation.
type object struct{ *unstructured.Unstructured }

func (o object) key() string { return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName() }

// file is the name that an object has as a file.
func (o object) file() string {
	return strings.ToLower(o.GetKind()) + "-" + strings.NewReplacer(":", "-", "/", "-").Replace(o.GetName()) + ".yaml"
}

// template writes objects with tokens in the place of what is templated. A token
// stands alone in its line or in its scalar, and sorts after the keys of its map.
type template struct {
	pieces []piece
}

// piece is what becomes of a token: the text of a scalar, or lines.
type piece struct {
	scalar string // an action that prints a quoted string
	begin  string // the action that lines stand below; they end with its end
	lines  any    // what is written there
	with   string // the key whose value is what begin set the dot to, in place of lines
}

const token = "zzTIGHTROPE"

func (t *template) add(p piece) string {
	t.pieces = append(t.pieces, p)
	return fmt.Sprintf("%s%d", token, len(t.pieces)-1)
}

// mark replaces marks by tokens, in place, and returns the new value.
func (t *template) mark(x any, wholes map[string]any) any {
	switch x := x.(type) {
	case string:
		return t.markText(x)
	case []any:
		for i := range x {
			if c, is := x[i].(conditional); is {
				x[i] = t.add(piece{begin: c.begin, lines: t.mark([]any{c.value}, wholes)})
				continue
			}
			if v, is := ranged(x[i]); is {
				x[i] = t.add(piece{begin: v.each, lines: []any{t.markText(x[i].(string))}})
				continue
			}
			x[i] = t.mark(x[i], wholes)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) { // so that the tokens are the same each time
			t.markEntry(x, k, wholes)
		}
	}
	return x
}

func (t *template) markEntry(x map[string]any, k string, wholes map[string]any) {
	if c, is := x[k].(conditional); is {
		delete(x, k)
		x[t.add(piece{begin: c.begin, lines: t.mark(map[string]any{k: c.value}, wholes)})] = ""
		return
	}
	for expr, whole := range wholes {
		if reflect.DeepEqual(x[k], whole) {
			delete(x, k)
			x[t.add(piece{begin: "with " + expr, with: k})] = ""
			return
		}
	}
	x[k] = t.mark(x[k], wholes)
}

// markText makes an action of a string that has a mark in it.
func (t *template) markText(s string) string {
	for _, v := range values {
		if v.text == nil || !strings.Contains(s, markOf(v)) {
			continue
		}
		expression := cmp.Or(v.item, v.expression())
		if s == markOf(v) {
			return t.add(piece{scalar: expression + " | quote"})
		}
		return t.add(piece{scalar: fmt.Sprintf("printf %q %s | quote", strings.ReplaceAll(strings.ReplaceAll(s, "%", "%%"), markOf(v), "%s"), expression)})
	}
	return s
}

// ranged is the value that a string stands for an item of.
func ranged(x any) (value, bool) {
	s, is := x.(string)
	if !is {
		return value{}, false
	}
	at := slices.IndexFunc(values, func(v value) bool { return v.each != "" && strings.Contains(s, markOf(v)) })
	if at < 0 {
		return value{}, false
	}
	return values[at], true
}

func markOf(v value) string { return "MARK-" + v.option }

// conditional is a value of a map, or an item of a list, that a switch decides on.
type conditional struct {
	begin string
	value any
	off   bool // it is there while the switch is off, as all others are
}

// differ merges what an object is with every switch off, where earlier switches may
// have left conditions, and what it is with one on. Where the two differ it puts a
// condition.
func differ(off, on any, expr, where string) (any, error) {
	if c, already := off.(conditional); already {
		if reflect.DeepEqual(c.value, on) {
			return c, nil
		}
		return nil, fmt.Errorf("%s depends on two switches, of which one is %s", where, expr)
	}
	if a, b, ok := both[map[string]any](off, on); ok {
		return differMaps(a, b, expr, where)
	}
	if a, b, ok := both[[]any](off, on); ok {
		return differLists(a, b, expr, where)
	}
	if reflect.DeepEqual(off, on) {
		return off, nil
	}
	return nil, fmt.Errorf("%s is %v or %v by %s: a template cannot choose between two values", where, off, on, expr)
}

func both[T any](a, b any) (x, y T, ok bool) {
	x, first := a.(T)
	y, second := b.(T)
	return x, y, first && second
}

// added is true of what another switch adds: it is in neither of two objects compared.
func added(x any) bool {
	c, is := x.(conditional)
	return is && !c.off
}

func differMaps(off, on map[string]any, expr, where string) (any, error) {
	out := map[string]any{}
	for k, a := range off {
		b, too := on[k]
		if added(a) {
			if too {
				return nil, fmt.Errorf("%s.%s depends on two switches, of which one is %s", where, k, expr)
			}
			out[k] = a
			continue
		}
		if !too {
			if _, already := a.(conditional); already {
				return nil, fmt.Errorf("%s.%s depends on two switches, of which one is %s", where, k, expr)
			}
			out[k] = conditional{"if not " + expr, a, true}
			continue
		}
		merged, err := differ(a, b, expr, where+"."+k)
		if err != nil {
			return nil, err
		}
		out[k] = merged
	}
	for k, b := range on {
		if _, too := off[k]; !too {
			out[k] = conditional{"if " + expr, b, false}
		}
	}
	return out, nil
}

// differLists takes items that are in one list only as conditional, and of lists of
// the same length each item as the same one.
func differLists(off, on []any, expr, where string) (any, error) {
	there := 0
	for _, x := range off {
		if !added(x) {
			there++
		}
	}
	var out []any
	for i := 0; len(off)+len(on) > 0; i++ {
		at := fmt.Sprintf("%s[%d]", where, i)
		switch {
		case len(off) > 0 && added(off[0]):
			out, off = append(out, off[0]), off[1:]
		case there == len(on):
			merged, err := differ(off[0], on[0], expr, at)
			if err != nil {
				return nil, err
			}
			out, off, on = append(out, merged), off[1:], on[1:]
			there--
		case len(off) > 0 && len(on) > 0 && same(off[0], on[0]):
			out, off, on = append(out, off[0]), off[1:], on[1:]
			there--
		case len(off) > 0 && !slices.ContainsFunc(on, func(x any) bool { return same(off[0], x) }):
			if _, already := off[0].(conditional); already {
				return nil, fmt.Errorf("%s depends on two switches, of which one is %s", at, expr)
			}
			out, off = append(out, conditional{"if not " + expr, off[0], true}), off[1:]
			there--
		case len(on) > 0 && !slices.ContainsFunc(off, func(x any) bool { return same(x, on[0]) }):
			out, on = append(out, conditional{"if " + expr, on[0], false}), on[1:]
		default:
			return nil, fmt.Errorf("%s is elsewhere in its list by %s", at, expr)
		}
	}
	return out, nil
}

// same compares an item that earlier switches may have made conditional with one of
// an object.
func same(off, on any) bool {
	if c, is := off.(conditional); is {
		off = c.value
	}
	return reflect.DeepEqual(off, on)
}

var (
	tokenLine   = regexp.MustCompile(`^( *)(?:- ` + token + `(\d+)|` + token + `(\d+): "")$`)
	tokenScalar = regexp.MustCompile(token + `(\d+)`)
)

// write is the text of a template.
func (t *template) write(x any) (string, error) {
	raw, err := yaml.Marshal(x)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(string(raw), "{{", `{{ "{{" }}`)) {
		line = strings.TrimSuffix(line, "\n")
		if parts := tokenLine.FindStringSubmatch(line); parts != nil {
			if p := t.piece(parts[2] + parts[3]); p.scalar == "" {
				if err := t.writeLines(&out, p, parts[1]); err != nil {
					return "", err
				}
				continue
			}
		}
		out.WriteString(tokenScalar.ReplaceAllStringFunc(line, func(s string) string {
			return "{{ " + t.piece(strings.TrimPrefix(s, token)).scalar + " }}"
		}))
		out.WriteString("\n")
	}
	return out.String(), nil
}

func (t *template) piece(number string) piece {
	i, _ := strconv.Atoi(number) // digits, by the expressions above
	return t.pieces[i]
}

func (t *template) writeLines(out *strings.Builder, p piece, indent string) error {
	fmt.Fprintf(out, "%s{{- %s }}\n", indent, p.begin)
	if p.with != "" {
		fmt.Fprintf(out, "%s%s:\n%s  {{- toYaml . | nindent %d }}\n", indent, p.with, indent, len(indent)+2)
	} else {
		inner, err := t.write(p.lines)
		if err != nil {
			return err
		}
		for line := range strings.Lines(inner) {
			out.WriteString(indent + line)
		}
	}
	fmt.Fprintf(out, "%s{{- end }}\n", indent)
	return nil
}
