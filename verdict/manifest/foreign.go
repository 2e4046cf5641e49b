package manifest

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/verdict"
)

// foreign is a policy of a kind that is not understood.
type foreign struct {
	Source
	clusterWide bool // it may affect every pod
}

// clusterWide are the kinds of foreign policies that have no namespace.
var clusterWide = []string{
	"AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy", // network-policy-api, Antrea
	"CiliumClusterwideNetworkPolicy", "GlobalNetworkPolicy",
}

// isForeign reports whether a kind decides about connections in a way that is
// not understood: NetworkPolicies of other groups and versions, by whatever
// prefix, and OVN's EgressFirewall. What Calico stages has no effect.
func isForeign(h header) bool {
	if slices.Contains(ownGroups, h.group()) {
		return false // these have none, whatever the version
	}
	decides := strings.HasSuffix(h.kind, "NetworkPolicy") || h.kind == "EgressFirewall"
	return decides && !strings.HasPrefix(h.kind, "Staged")
}

// readForeign reads no more than the name: whatever stands in it is unknown.
func (r *reading) readForeign(at Source, n *yaml.Node) {
	at.Name, at.Namespace = text(n, "metadata", "name"), text(n, "metadata", "namespace")
	if at.Name == "" {
		r.problem(at.Where("metadata.name"), strict.Show(at.Kind), "metadata.name is missing")
		return
	}
	f := foreign{Source: at, clusterWide: slices.Contains(clusterWide, at.Kind)}
	if !f.clusterWide && at.Namespace == "" {
		r.unnamed++
		f.Namespace = r.options.Namespace
	}
	if f.clusterWide {
		f.Namespace = ""
	}
	r.foreign = append(r.foreign, f)
}

// world is the foreign policy as verdicts see it.
func (f foreign) world() verdict.Foreign {
	return verdict.Foreign{Kind: f.Kind, Namespace: f.Namespace, Name: f.Name}
}

// note says what its presence means.
func (f foreign) note() Note {
	affected := "namespace " + f.Namespace
	if f.clusterWide {
		affected = "every namespace"
	}
	return Note{Position: f.Position, Object: f.String(), Message: cmp.Or(f.APIVersion, "its kind") +
		" is not understood: what it may affect, the pods of " + affected + ", is Unknown"}
}
