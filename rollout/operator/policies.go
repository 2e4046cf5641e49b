package operator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// policiesFrom reads every value of a ConfigMap as a YAML stream of
// NetworkPolicies, strictly: a misspelt field would otherwise allow or deny
// what nobody meant.
func policiesFrom(cm *corev1.ConfigMap, no *refusal) []*networkingv1.NetworkPolicy {
	var out []*networkingv1.NetworkPolicy
	for _, key := range sortedKeys(cm.Data) {
		where := fmt.Sprintf("ConfigMap %s/%s, key %s", cm.Namespace, cm.Name, key)
		docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(cm.Data[key]))))
		for n := 1; ; n++ {
			raw, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				no.add("%s, document %d: %v", where, n, err)
				break
			}
			if len(bytes.TrimSpace(raw)) == 0 {
				continue
			}
			var np networkingv1.NetworkPolicy
			switch err := yaml.UnmarshalStrict(raw, &np); {
			case err != nil:
				no.add("%s, document %d: not a NetworkPolicy: %v", where, n, err)
			case np.Kind != "NetworkPolicy" || np.APIVersion != "networking.k8s.io/v1":
				no.add("%s, document %d: %s %s is not a networking.k8s.io/v1 NetworkPolicy", where, n, np.APIVersion, np.Kind)
			case np.Namespace == "" || np.Name == "":
				no.add("%s, document %d: metadata.namespace and metadata.name must be set", where, n)
			default:
				out = append(out, &np)
			}
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
