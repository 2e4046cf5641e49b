package charts

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/deploy"
)

// value is one of the chart's values, or of what Helm knows itself. Exactly one of
// text, whole and turn is set.
type value struct {
	option  string // the field of deploy.Options
	path    string // in the values, as images.agent; empty: it is none of them
	expr    string // in a template; empty: .Values. and the path
	comment string // in values.yaml
	initial any    // in values.yaml
	schema  map[string]any

	text  func(o *deploy.Options, mark string) // a string, which may be a part of a longer one
	each  string                               // with text: of a list or a map, what ranges over it; the mark is what item says
	item  string                               // with each: one item, as a template writes it
	whole func(o *deploy.Options) any          // a list or map, and how package deploy writes it
	turn  func(o *deploy.Options)              // a switch
}

func (v value) expression() string {
	if v.expr != "" {
		return v.expr
	}
	return ".Values." + v.path
}

const marked = "tightrope.dev/mark" // in what only the generator sees

var imageSchema = map[string]any{"type": "string", "pattern": `^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`}

// values are all of them, in the order of values.yaml.
var values = []value{
	{option: "Controller", path: "images.controller", initial: "tightrope.dev/controller", schema: imageSchema,
		comment: "The images, by digest: what `tightrope images push --to REGISTRY/PREFIX` prints. These names are those of the lab.",
		text:    func(o *deploy.Options, mark string) { o.Controller = mark }},
	{option: "Agent", path: "images.agent", initial: "tightrope.dev/agent", schema: imageSchema,
		text: func(o *deploy.Options, mark string) { o.Agent = mark }},
	{option: "Twin", path: "images.twin", initial: "tightrope.dev/twin", schema: imageSchema,
		text: func(o *deploy.Options, mark string) { o.Twin = mark }},
	{option: "Version", expr: ".Chart.AppVersion", text: func(o *deploy.Options, mark string) { o.Version = mark }},
	{option: "PullSecrets", path: "imagePullSecrets", initial: []any{},
		comment: "Secrets of the namespace tightrope-system with which the controller's image is pulled: [{name: NAME}].",
		schema: map[string]any{"type": "array", "items": map[string]any{"type": "object", "required": []any{"name"}, "additionalProperties": false,
			"properties": map[string]any{"name": map[string]any{"type": "string", "minLength": 1}}}},
		whole: func(o *deploy.Options) any {
			o.PullSecrets = []string{marked}
			return []any{map[string]any{"name": marked}}
		}},
	{option: "Ordinary", path: "ordinary", initial: false, schema: map[string]any{"type": "boolean"},
		comment: "The controller gets no priority class: for clusters that do not let it have system-cluster-critical.",
		turn:    func(o *deploy.Options) { o.Ordinary = true }},
	{option: "Memory", path: "memory", initial: deploy.DefaultMemory, schema: map[string]any{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?(Mi|Gi|M|G)$`},
		comment: "The controller's memory limit: docs/bench.md says what it is enough for.",
		text:    func(o *deploy.Options, mark string) { o.Memory = mark }},
	{option: "SingleTenant", path: "singleTenant", initial: false, schema: map[string]any{"type": "boolean"},
		comment: "Only administrators of the cluster make rollouts, and these act with the controller's rights: docs/rights.md.",
		turn:    func(o *deploy.Options) { o.SingleTenant = true }},
	{option: "Minor", expr: `(and (not .Values.singleTenant) (semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version))`,
		turn: func(o *deploy.Options) { o.Minor = 36 }}, // the first that knows what a right to impersonate is for
	{option: "NodeSelector", path: "nodeSelector", initial: map[string]any{},
		comment: "Which nodes the controller's pod may be on.",
		schema:  map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
		whole: func(o *deploy.Options) any {
			o.NodeSelector = map[string]string{marked: marked}
			return map[string]any{marked: marked}
		}},
	{option: "Tolerations", path: "tolerations", initial: []any{},
		comment: "Taints that the controller's pod tolerates, as in a pod.",
		schema:  map[string]any{"type": "array", "items": map[string]any{"type": "object"}},
		whole: func(o *deploy.Options) any {
			o.Tolerations = []corev1.Toleration{{Key: marked, Operator: corev1.TolerationOpExists}}
			return []any{map[string]any{"key": marked, "operator": "Exists"}}
		}},
	{option: "ProbePullSecrets", path: "probes.imagePullSecrets", initial: []any{}, schema: listOf(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`),
		comment: "Probe pods: names of pull secrets, which every namespace with a probe pod must have; labels of the nodes\n# that they may be on; taints that they tolerate, as kubectl writes them: key=value:Effect.",
		text:    func(o *deploy.Options, mark string) { o.ProbePullSecrets = []string{mark} }, each: "range .Values.probes.imagePullSecrets", item: "."},
	{option: "ProbeNodeSelector", path: "probes.nodeSelector", initial: map[string]any{},
		schema: map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
		text:   func(o *deploy.Options, mark string) { o.ProbeNodeSelector = map[string]string{mark: mark} },
		each:   "range $key, $value := .Values.probes.nodeSelector", item: "$key $value"},
	{option: "ProbeTolerations", path: "probes.tolerations", initial: []any{}, schema: listOf(`^[A-Za-z0-9][-A-Za-z0-9._/]*(=[-A-Za-z0-9._]*)?(:(NoSchedule|PreferNoSchedule|NoExecute))?$`),
		text: func(o *deploy.Options, mark string) { o.ProbeTolerations = []string{mark} }, each: "range .Values.probes.tolerations", item: "."},
}

func listOf(pattern string) map[string]any {
	return map[string]any{"type": "array", "items": map[string]any{"type": "string", "pattern": pattern}}
}

// notValues are the options that charts do not have, and why.
var notValues = map[string]string{
	"Tenants":   "each tenant's namespace gets an account and bindings of its own, which tightrope upgrade --tenant makes, and docs/rights.md describes",
	"DropsPort": "only the lab's nodes have such a port, and the lab needs no chart",
}

// valuesFile is values.yaml.
func valuesFile() []byte {
	var b strings.Builder
	b.WriteString("# Values of the chart. Those of the same names are options of `tightrope install`.\n")
	group := ""
	for _, v := range values {
		if v.path == "" {
			continue
		}
		if v.comment != "" {
			fmt.Fprintf(&b, "\n# %s\n", v.comment)
		}
		name := v.path
		if parent, child, nested := strings.Cut(v.path, "."); nested {
			if parent != group {
				fmt.Fprintf(&b, "%s:\n", parent)
				group = parent
			}
			name = "  " + child
		}
		initial, _ := json.Marshal(v.initial) // literals above
		fmt.Fprintf(&b, "%s: %s\n", name, initial)
	}
	return []byte(b.String())
}

// valuesSchema is values.schema.json, which Helm checks values against.
func valuesSchema() ([]byte, error) {
	object := func() map[string]any {
		return map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
	}
	root := object()
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	in := func(of map[string]any) map[string]any { return of["properties"].(map[string]any) }
	in(root)["global"] = map[string]any{"type": "object"} // Helm's own, where the chart is a part of another one
	for _, v := range values {
		if v.path == "" {
			continue
		}
		at, name := root, v.path
		if parent, child, nested := strings.Cut(v.path, "."); nested {
			if in(root)[parent] == nil {
				in(root)[parent] = object()
			}
			at, name = in(root)[parent].(map[string]any), child
		}
		in(at)[name] = v.schema
	}
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}
