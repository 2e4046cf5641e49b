package matrix

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// checkEvery is how many rows are written between two looks at the context.
const checkEvery = 4096

// WriteJSON writes the fields of head, which is an object or nil, and "results":
// a row a line, in the one form that other tools read. It keeps no row. The
// context ends it early, with an error and half a document.
func WriteJSON(ctx context.Context, w io.Writer, head any, rows iter.Seq[Row]) error {
	return writeList(ctx, w, head, rows, func(r Row) any {
		return Entry{entryEnd(*r.From), entryEnd(*r.To), r.Port.Shown(), string(r.Port.Protocol),
			r.Decision.String(), ruleOf(r.Ingress), ruleOf(r.Egress)}
	})
}

// Entry is a row as other programs read it.
type Entry struct {
	From        EntryEnd `json:"from"`
	To          EntryEnd `json:"to"`
	Port        string   `json:"port"` // number, or name where the port was asked for by name
	Protocol    string   `json:"protocol"`
	Verdict     string   `json:"verdict" jsonschema:"enum=Allow,enum=Deny,enum=Unknown,enum=Mixed"` // Mixed by workload only
	IngressRule string   `json:"ingressRule"`                                                       // that decides, or why none does
	EgressRule  string   `json:"egressRule"`
}

// EntryEnd is a pod or a workload of a namespace, or an address.
type EntryEnd struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Workload  string `json:"workload,omitempty"` // by workload, instead of Pod
	IP        string `json:"ip,omitempty"`
}

func entryEnd(e End) EntryEnd {
	if e.Pod == nil {
		return EntryEnd{IP: e.IP.String()}
	}
	return EntryEnd{Namespace: e.Pod.Namespace, Pod: e.Pod.Name}
}

// WriteJSONByWorkload writes the fields of head and "results" with a row for each
// two workloads and port. Its ends have workload (kind/name) where WriteJSON has pod, its
// verdict may also be Mixed, pairs counts the pairs of pods behind it, and the
// rules are those of sample, the pair that speaks for the others.
func WriteJSONByWorkload(ctx context.Context, w io.Writer, head any, cells iter.Seq[Cell]) error {
	return writeList(ctx, w, head, cells, func(c Cell) any {
		s := c.Sample
		return WorkloadEntry{
			Entry{jsonWorkload(c.From), jsonWorkload(c.To), c.Port.Shown(), string(c.Port.Protocol), c.Outcome.String(), ruleOf(s.Ingress), ruleOf(s.Egress)},
			PairCounts{c.Pairs[Allow], c.Pairs[Deny], c.Pairs[Unknown]}, SamplePair{entryEnd(*s.From), entryEnd(*s.To)},
		}
	})
}

// WorkloadEntry is a row by workload as other programs read it.
type WorkloadEntry struct {
	Entry
	Pairs  PairCounts `json:"pairs"`
	Sample SamplePair `json:"sample"`
}

// PairCounts counts pairs of pods by their verdict.
type PairCounts struct {
	Allow   int `json:"allow"`
	Deny    int `json:"deny"`
	Unknown int `json:"unknown"`
}

// SamplePair is the pair of pods that speaks for the others.
type SamplePair struct {
	From EntryEnd `json:"from"`
	To   EntryEnd `json:"to"`
}

func jsonWorkload(w *Workload) EntryEnd {
	if w.Namespace == "" {
		return EntryEnd{IP: w.Name}
	}
	return EntryEnd{Namespace: w.Namespace, Workload: w.Kind + "/" + w.Name}
}

// opening is the document up to its first row.
func opening(head any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if head == nil {
		head = struct{}{}
	}
	if err := e.Encode(head); err != nil {
		return "", fmt.Errorf("write the matrix: %w", err)
	}
	before := strings.TrimSuffix(strings.TrimSpace(b.String()), "}")
	if before != "{" {
		before += ","
	}
	return before + `"results":[`, nil
}

func writeList[T any](ctx context.Context, w io.Writer, head any, rows iter.Seq[T], form func(T) any) error {
	before, err := opening(head)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	n := 0
	for r := range rows {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("the matrix ends after %d rows: %w", n-1, context.Cause(ctx))
		}
		if _, err := out.WriteString(before + "\n"); err != nil {
			return fmt.Errorf("write the matrix: %w", err)
		}
		before = ","
		if err := e.Encode(form(r)); err != nil {
			return fmt.Errorf("write the matrix: %w", err)
		}
	}
	if n == 0 {
		_, _ = out.WriteString(before) // Flush returns the error
	}
	_, _ = out.WriteString("]}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return nil
}

// WriteCSV writes what WriteJSON writes, as comma-separated values under a line
// of names. A value that a spreadsheet would take for a formula, which no valid
// name is, gets an apostrophe in front.
func WriteCSV(ctx context.Context, w io.Writer, rows iter.Seq[Row]) error {
	head := []string{"from_namespace", "from_pod", "from_ip", "to_namespace", "to_pod", "to_ip", "port", "protocol", "verdict", "ingress_rule", "egress_rule"}
	return writeCSV(ctx, w, head, rows, func(r Row) []string {
		a, b := entryEnd(*r.From), entryEnd(*r.To)
		return []string{a.Namespace, a.Pod, a.IP, b.Namespace, b.Pod, b.IP, r.Port.Shown(), string(r.Port.Protocol), r.Decision.String(), ruleOf(r.Ingress), ruleOf(r.Egress)}
	})
}

// WriteCSVByWorkload writes what WriteJSONByWorkload writes, without the sample.
func WriteCSVByWorkload(ctx context.Context, w io.Writer, cells iter.Seq[Cell]) error {
	head := []string{"from_namespace", "from_workload", "from_ip", "to_namespace", "to_workload", "to_ip", "port", "protocol", "verdict", "ingress_rule", "egress_rule", "allowed_pairs", "denied_pairs", "unknown_pairs"}
	return writeCSV(ctx, w, head, cells, func(c Cell) []string {
		a, b := jsonWorkload(c.From), jsonWorkload(c.To)
		return []string{a.Namespace, a.Workload, a.IP, b.Namespace, b.Workload, b.IP, c.Port.Shown(), string(c.Port.Protocol), c.Outcome.String(), ruleOf(c.Sample.Ingress), ruleOf(c.Sample.Egress),
			strconv.Itoa(c.Pairs[Allow]), strconv.Itoa(c.Pairs[Deny]), strconv.Itoa(c.Pairs[Unknown])}
	})
}

func writeCSV[T any](ctx context.Context, w io.Writer, head []string, rows iter.Seq[T], form func(T) []string) error {
	out := csv.NewWriter(w)
	_ = out.Write(head) // Error returns it
	n := 0
	for r := range rows {
		if n++; n%checkEvery == 0 && (ctx.Err() != nil || out.Error() != nil) {
			break
		}
		values := form(r)
		for i, v := range values {
			if strings.ContainsAny(v[:min(1, len(v))], "=+-@\t\r") {
				values[i] = "'" + v
			}
		}
		_ = out.Write(values)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the matrix ends after %d rows: %w", n-1, context.Cause(ctx))
	}
	return nil
}
