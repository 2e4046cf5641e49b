package main

import (
	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/verdict/explain"
)

func newExplainCommand() *cobra.Command {
	var from source
	var names explain.Names
	var format string
	c := &cobra.Command{
		Use:   "explain --from A --to B --port P [-f DIR]",
		Short: "Say why one connection is allowed or denied",
		Long: "Explain answers first, then says what lets the connection out of its source and into its target:\n" +
			"which policies select the pod, which rule decides or comes nearest, and, for a denial, the rule\n" +
			"that would allow it. Ends are NAMESPACE/POD, NAMESPACE/WORKLOAD, deployment/NAMESPACE/NAME or an\n" +
			"address; a target may be svc/NAMESPACE/NAME, or the address of a Service, with the Service's port.\n\n" +
			"What manifests do not show makes an answer unknown. It says then what is missing, and which of\n" +
			"--pod-cidr, --service-cidr and --namespace-label states it.\n\n" +
			"Exits 0 for an answer, 3 where the policies leave it open, and 4 for bad input.",
		Example: "  tightrope explain --from apps/chat-api --to ai/model --port 8000/TCP -f manifests/\n" +
			"  tightrope explain --from deployment/apps/chat-api --to svc/ai/llm-gateway --port 80",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			set, _, err := from.judged(c)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			q, err := explain.Resolve(set, names)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			a := explain.Explain(set, q)
			if format == "json" {
				err = writeJSON(c.OutOrStdout(), explanation{from.head("Explanation", set), a})
			} else {
				err = explain.WriteText(c.OutOrStdout(), a, terminalOf(c.OutOrStdout()))
			}
			if err != nil || a.Unknown() {
				return &exitError{exitInconclusive, err}
			}
			return nil
		},
	}
	from.flags(c)
	from.rolloutFlag(c, false)
	outputFlag(c, &format)
	f := c.Flags()
	f.StringVar(&names.From, "from", "", "source: NAMESPACE/POD, NAMESPACE/WORKLOAD, KIND/NAMESPACE/NAME or an address")
	f.StringVar(&names.To, "to", "", "target, named like a source, or svc/NAMESPACE/NAME")
	f.StringVar(&names.Port, "port", "", "port of the target: 443/TCP, 53/UDP, or the name of a container's port")
	f.StringVarP(&names.Namespace, "namespace", "n", "", "namespace of ends that are written KIND/NAME")
	for _, name := range []string{"from", "to", "port"} {
		_ = c.MarkFlagRequired(name) // the flag is there
	}
	return c
}
