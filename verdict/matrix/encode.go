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

// WriteJSON writes {"results":[…]}, a row a line, in the one form that other
// tools read: from, to, port, protocol, verdict, ingressRule, egressRule. It
// keeps no row. The context ends it early, with an error and half a document.
func WriteJSON(ctx context.Context, w io.Writer, rows iter.Seq[Row]) error {
	return writeList(ctx, w, rows, func(r Row) any {
		return jsonRow{jsonEndOf(*r.From), jsonEndOf(*r.To), r.Port.Shown(), string(r.Port.Protocol),
			r.Decision.String(), ruleOf(r.Ingress), ruleOf(r.Egress)}
	})
}

type jsonRow struct {
	From        jsonEnd `json:"from"`
	To          jsonEnd `json:"to"`
	Port        string  `json:"port"`
	Protocol    string  `json:"protocol"`
	Verdict     string  `json:"verdict"`
	IngressRule string  `json:"ingressRule"`
	EgressRule  string  `json:"egressRule"`
}

type jsonEnd struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Workload  string `json:"workload,omitempty"` // by workload, instead of Pod
	IP        string `json:"ip,omitempty"`
}

func jsonEndOf(e End) jsonEnd {
	if e.Pod == nil {
		return jsonEnd{IP: e.IP.String()}
	}
	return jsonEnd{Namespace: e.Pod.Namespace, Pod: e.Pod.Name}
}

// WriteJSONByWorkload writes {"results":[…]} with a row for each two workloads
// and port. Its ends have workload (kind/name) where WriteJSON has pod, its
// verdict may also be Mixed, pairs counts the pairs of pods behind it, and the
// rules are those of sample, the pair that speaks for the others.
func WriteJSONByWorkload(ctx context.Context, w io.Writer, cells iter.Seq[Cell]) error {
	return writeList(ctx, w, cells, func(c Cell) any {
		s := c.Sample
		return jsonCell{
			jsonRow{jsonWorkload(c.From), jsonWorkload(c.To), c.Port.Shown(), string(c.Port.Protocol), c.Outcome.String(), ruleOf(s.Ingress), ruleOf(s.Egress)},
			jsonPairs{c.Pairs[Allow], c.Pairs[Deny], c.Pairs[Unknown]}, jsonSample{jsonEndOf(*s.From), jsonEndOf(*s.To)},
		}
	})
}

type jsonCell struct {
	jsonRow
	Pairs  jsonPairs  `json:"pairs"`
	Sample jsonSample `json:"sample"`
}

type jsonPairs struct {
	Allow   int `json:"allow"`
	Deny    int `json:"deny"`
	Unknown int `json:"unknown"`
}

type jsonSample struct {
	From jsonEnd `json:"from"`
	To   jsonEnd `json:"to"`
}

func jsonWorkload(w *Workload) jsonEnd {
	if w.Namespace == "" {
		return jsonEnd{IP: w.Name}
	}
	return jsonEnd{Namespace: w.Namespace, Workload: w.Kind + "/" + w.Name}
}

func writeList[T any](ctx context.Context, w io.Writer, rows iter.Seq[T], form func(T) any) error {
	out := bufio.NewWriterSize(w, 1<<16)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	before, n := `{"results":[`, 0
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
		a, b := jsonEndOf(*r.From), jsonEndOf(*r.To)
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
