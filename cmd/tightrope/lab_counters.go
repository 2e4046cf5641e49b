package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

// nodeCounters is one node's answer. Its other side is in labd's data plane.
type nodeCounters struct {
	Node     string          `json:"node"`
	Counters []policyCounter `json:"counters"`
	Drops    []podDrops      `json:"drops"`
}

// policyCounter is what one node's kernel counted for one policy, in packets
// that began a connection.
type policyCounter struct {
	Policy    string `json:"policy"`    // namespace/name
	Direction string `json:"direction"` // ingress or egress
	Allowed   uint64 `json:"allowed"`
	Denied    uint64 `json:"denied"`
}

// podDrops is what one node's kernel dropped of one pod's packets.
type podDrops struct {
	Pod       string     `json:"pod"` // namespace/name
	Direction string     `json:"direction"`
	Packets   uint64     `json:"packets"`
	Since     time.Time  `json:"since"`
	First     *time.Time `json:"first,omitempty"`
}

func newLabCounters(name *string) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "counters",
		Short: "Print what the kernel counted for each policy, on each node",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			s, err := lab.Find(*name)
			if err != nil {
				return labError(err)
			}
			client, err := labClient(s)
			if err != nil {
				return labError(err)
			}
			ctx, stop := context.WithTimeout(c.Context(), labCallDeadline)
			defer stop()
			all, err := readCounters(ctx, client)
			if err != nil {
				return labError(fmt.Errorf("lab %q: %w", *name, err))
			}
			if format == "json" {
				return writeJSON(c.OutOrStdout(), all)
			}
			return printCounters(c.OutOrStdout(), all)
		},
	}
	outputFlag(c, &format)
	return c
}

// readCounters asks every node, through the API server's proxy.
func readCounters(ctx context.Context, client kubernetes.Interface) ([]nodeCounters, error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	all := []nodeCounters{}
	for _, n := range nodes.Items {
		b, err := client.CoreV1().RESTClient().Get().
			AbsPath(fmt.Sprintf("/api/v1/nodes/http:%s:%d/proxy/counters", n.Name, lab.CounterPort)).DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("counters of node %s: %w", n.Name, err)
		}
		var one nodeCounters
		if err := json.Unmarshal(b, &one); err != nil {
			return nil, fmt.Errorf("counters of node %s: %w", n.Name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func printCounters(out io.Writer, all []nodeCounters) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tPOLICY\tDIRECTION\tALLOWED\tDENIED")
	for _, n := range all {
		for _, c := range n.Counters {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", report.Sanitize(n.Node), report.Sanitize(c.Policy), report.Sanitize(c.Direction), c.Allowed, c.Denied)
		}
	}
	for _, n := range all {
		for _, d := range n.Drops {
			if d.Packets > 0 {
				fmt.Fprintf(w, "%s\tpod %s\t%s\t\t%d dropped\n", report.Sanitize(n.Node), report.Sanitize(d.Pod), report.Sanitize(d.Direction), d.Packets)
			}
		}
	}
	return w.Flush()
}
