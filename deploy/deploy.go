// Package deploy ships what a cluster needs to run Tightrope: the CRDs, the
// controller and the rights it has. It is data, with the images filled in.
package deploy

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml manifests/*.yaml
var files embed.FS

// Options fill in what differs from cluster to cluster. The zero value uses the
// image names that the lab maps to our binaries.
type Options struct {
	Controller string // image; empty: tightrope.dev/controller
	Agent      string // image; empty: tightrope.dev/agent
	Twin       string // image; empty: tightrope.dev/twin
	DropsPort  int    // of every node's address, where its data plane tells what it dropped first; 0: nowhere
}

func (o Options) withDefaults() Options {
	for at, name := range map[*string]string{
		&o.Controller: "tightrope.dev/controller", &o.Agent: "tightrope.dev/agent", &o.Twin: "tightrope.dev/twin",
	} {
		if *at == "" {
			*at = name
		}
	}
	return o
}

// CRDs returns the custom resource definitions.
func CRDs() ([]*unstructured.Unstructured, error) { return read("crds") }

// Manifests returns everything but the CRDs, in the order to apply it in.
func Manifests(options Options) ([]*unstructured.Unstructured, error) {
	options = options.withDefaults()
	objects, err := read("manifests")
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		if err != nil || len(containers) != 1 {
			return nil, fmt.Errorf("deploy: %s %s has not the one container expected: %w", o.GetKind(), o.GetName(), err)
		}
		c := containers[0].(map[string]any)
		c["image"] = options.Controller
		args := []any{"--agent-image=" + options.Agent, "--twin-image=" + options.Twin}
		if options.DropsPort != 0 {
			args = append(args, fmt.Sprintf("--drops-port=%d", options.DropsPort))
		}
		c["args"] = args
		if err := unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"); err != nil {
			return nil, fmt.Errorf("deploy: %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return objects, nil
}

func read(folder string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, folder+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("deploy: %w", err)
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("deploy: %s: %w", name, err)
			}
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(doc, &o.Object); err != nil {
				return nil, fmt.Errorf("deploy: %s: %w", name, err)
			}
			if len(o.Object) > 0 {
				out = append(out, o)
			}
		}
	}
	return out, nil
}
