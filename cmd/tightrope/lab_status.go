package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

// labCallDeadline bounds one question to a lab's API server.
const labCallDeadline = 10 * time.Second

// limitsOfUsers is what pods ask for and a lab cannot give.
const limitsOfUsers = "processes are uid 0 of a user namespace, with the capabilities that containerd gives unless their pod asks otherwise, or the runAsUser of their pod, without capabilities; all files are their own: fsGroup, seccomp and resource limits are accepted and not applied"

func deadline(c *cobra.Command, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.Context()), d)
}

func outputFlag(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "output", "o", "text", "text or json")
}

func checkOutput(format string) error {
	if format != "text" && format != "json" {
		return &exitError{exitUsage, fmt.Errorf("--output=%q: text or json", format)}
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// labNode is one node, as `lab status` shows it.
type labNode struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	IP    string `json:"ip"`
}

type labStatus struct {
	lab.Status
	UptimeSeconds float64   `json:"uptimeSeconds"`
	NodeList      []labNode `json:"nodeList"`
	Users         string    `json:"users"`
}

func newLabStatus(name *string) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "status",
		Short: "Say what a lab is and how it is",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			lab.Sweep()
			found, err := lab.Find(*name)
			if err != nil {
				return labError(err)
			}
			s := labStatus{Status: *found, UptimeSeconds: time.Since(found.Started).Seconds(), Users: limitsOfUsers, NodeList: []labNode{}}
			if s.Ready {
				if s.NodeList, err = labNodes(c, found); err != nil {
					return labError(err)
				}
			}
			if format == "json" {
				return writeJSON(c.OutOrStdout(), s)
			}
			return s.print(c.OutOrStdout())
		},
	}
	outputFlag(c, &format)
	return c
}

func labClient(s *lab.Status) (kubernetes.Interface, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("lab %q: kubeconfig: %w", s.Name, err)
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("lab %q: client: %w", s.Name, err)
	}
	return c, nil
}

func labNodes(c *cobra.Command, s *lab.Status) ([]labNode, error) {
	client, err := labClient(s)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(c.Context(), labCallDeadline)
	defer stop()
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("lab %q: list its nodes: %w", s.Name, err)
	}
	nodes := []labNode{}
	for _, n := range list.Items {
		row := labNode{Name: n.Name}
		for _, condition := range n.Status.Conditions {
			row.Ready = row.Ready || condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
		}
		for _, address := range n.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				row.IP = address.Address
			}
		}
		nodes = append(nodes, row)
	}
	return nodes, nil
}

func (s labStatus) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	state := "starting"
	if s.Ready {
		state = "up"
	}
	fmt.Fprintf(w, "lab\t%s, %s for %v, process %d\n", s.Name, state, time.Since(s.Started).Round(time.Second), s.PID)
	fmt.Fprintf(w, "policies\t%s\n", s.Dataplane)
	for _, n := range s.NodeList {
		ready := "not ready"
		if n.Ready {
			ready = "Ready"
		}
		fmt.Fprintf(w, "node\t%s  %s  %s\n", report.Sanitize(n.Name), n.IP, ready)
	}
	fmt.Fprintf(w, "users\t%s\n", s.Users)
	fmt.Fprintf(w, "kubeconfig\t%s\n", s.Kubeconfig)
	return w.Flush()
}
