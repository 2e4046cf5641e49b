package charts

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/tightrope-dev/tightrope/deploy"
)

// keep is what makes Helm leave an object when the chart is uninstalled.
const keep = "helm.sh/resource-policy"

const chartFile = `apiVersion: v2
name: tightrope
description: Stages NetworkPolicies through observe, canary and enforce, and takes them back when a path breaks
type: application
version: 0.0.0
kubeVersion: ">=1.30-0"
appVersion: dev
home: https://github.com/tightrope-dev/tightrope
sources:
- https://github.com/tightrope-dev/tightrope
`

const notes = `Tightrope {{ .Chart.AppVersion }} is in the namespace tightrope-system.

  kubectl -n tightrope-system rollout status deployment/tightrope-controller
  kubectl get policyrollouts -A

{{- if eq .Release.Namespace "tightrope-system" }}

Helm made the namespace, not this chart. Let it enforce what the controller keeps to anyway:

  kubectl label namespace tightrope-system pod-security.kubernetes.io/enforce=restricted
{{- end }}

The CRDs stay when the chart is uninstalled, and with them your rollouts and reports.
`

// chart is every file of the Helm chart.
func chart() (map[string][]byte, error) {
	schema, err := valuesSchema()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"Chart.yaml": []byte(chartFile), "values.yaml": valuesFile(), "values.schema.json": schema,
		"templates/NOTES.txt": []byte(notes)}
	templates, err := templated()
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	maps.Copy(files, templates)
	out := map[string][]byte{}
	for name, text := range files {
		out[path.Join(Chart, name)] = text
	}
	return out, nil
}

// templated are the templates of all objects.
func templated() (map[string][]byte, error) {
	t := &template{}
	var o deploy.Options
	wholes := map[string]any{}
	for _, v := range values {
		switch {
		case v.text != nil:
			v.text(&o, markOf(v))
		case v.whole != nil:
			wholes[v.expression()] = v.whole(&o)
		}
	}
	objects, conditions, err := withSwitches(o)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, x := range objects {
		condition := conditions[x.key()]
		switch x.GetKind() {
		case "CustomResourceDefinition":
			annotations := x.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[keep] = "keep"
			x.SetAnnotations(annotations)
		case "Namespace": // Helm needs its own namespace before it has a chart's objects
			condition = fmt.Sprintf("if ne .Release.Namespace %q", x.GetName())
		}
		text, err := t.write(t.mark(x.Object, wholes))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.key(), err)
		}
		if condition != "" {
			text = "{{- " + condition + " }}\n" + text + "{{- end }}\n"
		}
		if strings.Contains(text, marked) || strings.Contains(text, "MARK-") || strings.Contains(text, token) {
			return nil, fmt.Errorf("%s: a value is where the generator does not expect it:\n%s", x.key(), text)
		}
		name := "templates/" + x.file()
		if files[name] != nil {
			return nil, fmt.Errorf("%s: two objects would be in %s", x.key(), name)
		}
		files[name] = []byte(text)
	}
	return files, nil
}

// withSwitches are the objects with a condition wherever a switch changes something,
// and the conditions of those that only are with a switch on or off.
func withSwitches(o deploy.Options) ([]object, map[string]string, error) {
	objects, err := all(o)
	if err != nil {
		return nil, nil, err
	}
	conditions := map[string]string{}
	for _, v := range values {
		if v.turn == nil {
			continue
		}
		turned := o
		v.turn(&turned)
		on, err := all(turned)
		if err != nil {
			return nil, nil, err
		}
		if objects, err = merge(objects, on, v.expression(), conditions); err != nil {
			return nil, nil, err
		}
	}
	return objects, conditions, nil
}

func merge(off, on []object, expr string, conditions map[string]string) ([]object, error) {
	turned := map[string]object{}
	for _, x := range on {
		turned[x.key()] = x
	}
	for _, x := range off {
		y, too := turned[x.key()]
		delete(turned, x.key())
		if condition := conditions[x.key()]; condition != "" {
			off := strings.HasPrefix(condition, "if not ")
			if too != off {
				return nil, fmt.Errorf("%s depends on two switches, of which one is %s", x.key(), expr)
			}
			if !off {
				continue
			}
		}
		if !too {
			conditions[x.key()] = "if not " + expr
			continue
		}
		merged, err := differ(x.Object, y.Object, expr, x.key())
		if err != nil {
			return nil, err
		}
		x.Object = merged.(map[string]any)
	}
	for _, x := range on {
		if _, only := turned[x.key()]; only {
			conditions[x.key()] = "if " + expr
			off = append(off, x)
		}
	}
	return off, nil
}
