package matrix

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
)

// The bounds of one page. Past maxCells a browser gets slow; the others only
// bound what is told about a cell, never its verdict.
const (
	maxCells = 4_000_000 // workload × workload × port
	maxRules = 100_000   // different rules and reasons
	maxNotes = 20_000    // cells whose pods disagree
)

// ErrTooLarge says that a matrix has more cells than one page can show.
var ErrTooLarge = errors.New("the matrix is too large for one page")

// packed is the matrix as the page's script reads it. Indices count from 0.
type packed struct {
	Namespaces []string       `json:"namespaces"` // the last may be "", outside the cluster
	Ports      []string       `json:"ports"`      // as 80/TCP, each once; "" stands for no port
	From       []packedSource `json:"from"`
	To         []packedTarget `json:"to"`
	// Rules is base64 of gzip of a list of what sides say: a letter (A, D or U, the
	// side's decision), then the text, in which a trailing peerMark stands for the
	// other end.
	Rules string `json:"rules"`
	// Notes are the cells whose pods disagree: cell, then pairs allowed, denied, unknown.
	Notes [][4]int `json:"notes"`
	// Cells is base64 of gzip of three planes, each by source, then target, then
	// port: outcomes in 2 bits, the first in the lowest; the rule of the egress
	// side and that of the ingress side in RuleBytes bytes, little-endian.
	Cells     string `json:"cells"`
	RuleBytes int    `json:"ruleBytes"` // 2 or 4
}

type packedSource struct {
	Namespace int    `json:"ns"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Pods      int    `json:"pods"`
}

type packedTarget struct {
	packedSource
	Ports []int `json:"ports"` // never empty
}

// peerMark stands for the other end's name in a rule, so that the denials of one
// policy are one rule, whoever is denied.
const peerMark = "\x01"

// packer fills a packed matrix cell by cell.
type packer struct {
	packed
	outcomes        []byte
	egress, ingress []uint32
	texts           []string          // behind packed.Rules
	rules           map[string]uint32 // to their index
	counts          [4]int            // cells by Outcome, those without a port excepted
	portless        int               // targets that declare no port
}

// pack judges everything that the page shows. Two outside addresses are a cell
// too, Unknown, because the planes have no holes.
func (q Query) pack(ctx context.Context) (*packer, error) {
	from, to := q.workloads(q.From), q.workloads(q.To)
	p := &packer{packed: packed{Notes: [][4]int{}}, rules: map[string]uint32{}} // null is no list to a script
	ports, width := make([][]asked, len(to)), 0
	for j, w := range to {
		ports[j] = q.portsOfWorkload(w)
		width += len(ports[j])
	}
	if len(from)*width > maxCells {
		return nil, fmt.Errorf("%w: %d sources × %d ports of %d targets are more than %d cells", ErrTooLarge, len(from), width, len(to), maxCells)
	}
	p.axes(from, to, ports)
	p.outcomes = make([]byte, (len(from)*width+3)/4)
	p.egress, p.ingress = make([]uint32, 0, len(from)*width), make([]uint32, 0, len(from)*width)
	for row := range q.cellsBySource(from, to, ports) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		for _, c := range row {
			p.add(c)
		}
	}
	return p, p.seal()
}

func (p *packer) axes(from, to []*Workload, ports [][]asked) {
	ns := func(w *Workload) int {
		i := slices.Index(p.Namespaces, w.Namespace)
		if i < 0 {
			i, p.Namespaces = len(p.Namespaces), append(p.Namespaces, w.Namespace)
		}
		return i
	}
	for _, w := range slices.Concat(from, to) {
		if !slices.Contains(p.Namespaces, w.Namespace) {
			p.Namespaces = append(p.Namespaces, w.Namespace)
		}
	}
	slices.SortFunc(p.Namespaces, func(a, b string) int { return cmp.Or(-cmp.Compare(min(len(a), 1), min(len(b), 1)), cmp.Compare(a, b)) })
	for _, w := range from {
		p.From = append(p.From, packedSource{ns(w), printable(w.Name), printable(w.Kind), w.Pods()})
	}
	at := map[string]int{}
	for j, w := range to {
		t := packedTarget{packedSource: packedSource{ns(w), printable(w.Name), printable(w.Kind), w.Pods()}}
		for _, a := range ports[j] {
			name := a.shown.String()
			if a.shown.Shown() == "" {
				name = ""
				p.portless++
			}
			if _, had := at[name]; !had {
				at[name] = len(p.Ports)
				p.Ports = append(p.Ports, name)
			}
			t.Ports = append(t.Ports, at[name])
		}
		p.To = append(p.To, t)
	}
	for i := range p.Namespaces {
		p.Namespaces[i] = printable(p.Namespaces[i])
	}
}

func (p *packer) add(c Cell) {
	i := len(p.egress)
	p.outcomes[i/4] |= byte(c.Outcome) << (i % 4 * 2)
	p.egress = append(p.egress, p.rule(c.Sample.Egress, c.Sample.To))
	p.ingress = append(p.ingress, p.rule(c.Sample.Ingress, c.Sample.From))
	if c.Port.Shown() != "" {
		p.counts[c.Outcome]++
	}
	if c.Outcome == Mixed && len(p.Notes) < maxNotes {
		p.Notes = append(p.Notes, [4]int{i, c.Pairs[Allow], c.Pairs[Deny], c.Pairs[Unknown]})
	}
}

// rule is the index of what the side says.
func (p *packer) rule(s verdict.Side, peer *End) uint32 {
	text := ruleOf(s)
	if rest, ok := strings.CutSuffix(text, " "+peer.String()); ok && s.Decision == verdict.Deny {
		text = printable(rest) + " " + peerMark
	} else {
		text = printable(text)
	}
	text = s.Decision.String()[:1] + text
	i, ok := p.rules[text]
	if !ok {
		if len(p.texts) >= maxRules {
			text = s.Decision.String()[:1] + "there are too many different reasons for one page: ask tightrope explain"
			if i, ok = p.rules[text]; ok {
				return i
			}
		}
		i = uint32(len(p.texts))
		p.rules[text], p.texts = i, append(p.texts, text)
	}
	return i
}

func (p *packer) seal() error {
	p.RuleBytes = 2
	if len(p.texts) > 1<<16 {
		p.RuleBytes = 4
	}
	planes := p.outcomes
	for _, plane := range [][]uint32{p.egress, p.ingress} {
		for _, i := range plane {
			if p.RuleBytes == 2 {
				planes = binary.LittleEndian.AppendUint16(planes, uint16(i))
			} else {
				planes = binary.LittleEndian.AppendUint32(planes, i)
			}
		}
	}
	texts, err := json.Marshal(p.texts)
	if err != nil {
		return err
	}
	var failed error
	p.Cells, err = deflate(planes)
	p.Rules, failed = deflate(texts)
	return errors.Join(err, failed)
}

// deflate is base64 of gzip, which every browser can read.
func deflate(raw []byte) (string, error) {
	var b bytes.Buffer
	base := base64.NewEncoder(base64.StdEncoding, &b)
	z := gzip.NewWriter(base)
	_, err := z.Write(raw)
	err = errors.Join(err, z.Close(), base.Close())
	return b.String(), err
}
