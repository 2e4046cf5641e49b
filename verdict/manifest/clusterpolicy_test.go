package manifest

import (
	"strings"
	"testing"
)

// Both versions of ClusterNetworkPolicy have one schema, so both are read; a
// version that nobody knows is not guessed at.
func TestBothVersionsOfClusterNetworkPolicyAreRead(t *testing.T) {
	const policy = `apiVersion: policy.networking.k8s.io/VERSION
kind: ClusterNetworkPolicy
metadata: {name: apart}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  ingress:
  - {name: deny, action: Deny, from: [{namespaces: {}}]}
`
	for version, read := range map[string]bool{"v1alpha2": true, "v1beta1": true, "v9": false} {
		set, err := ReadStream("in", strings.NewReader(strings.Replace(policy, "VERSION", version, 1)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(set.World.ClusterPolicies) == 1; got != read || len(set.World.Foreign) == 1 == read {
			t.Errorf("%s: %d policies, %d foreign", version, len(set.World.ClusterPolicies), len(set.World.Foreign))
		}
	}
}
