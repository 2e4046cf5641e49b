package matrix

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Ends are the pods of the set, each with its workload. They point into the set.
func Ends(set *manifest.Set) []End {
	all := make([]End, len(set.Pods))
	for i := range set.Pods {
		all[i].Pod = &set.Pods[i]
	}
	for _, w := range set.Workloads {
		for _, i := range w.Pods {
			if w.Kind != "Pod" {
				all[i].Workload = strings.ToLower(w.Kind) + "/" + w.Name
			}
		}
	}
	return all
}

// Outside reads addresses outside the cluster.
func Outside(texts []string) ([]End, error) {
	var all []End
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return nil, fmt.Errorf("%q is not an address such as 192.0.2.7 or 2001:db8::1", text)
		}
		all = append(all, End{IP: ip.Unmap()})
	}
	return all, nil
}

// OnNodes says of which node of the set each address is.
func OnNodes(set *manifest.Set, ends []End) []End {
	for i := range ends {
		if ends[i].Pod == nil {
			ends[i].Node = set.NodeAt(ends[i].IP)
		}
	}
	return ends
}

// CheckOutside refuses addresses that are inside: policies see the pods that have
// them, or what is behind a Service, and not the address.
func CheckOutside(set *manifest.Set, ends []End) error {
	for _, e := range ends {
		i := slices.IndexFunc(set.Pods, func(p verdict.Pod) bool { return !p.HostNetwork && slices.Contains(p.IPs, e.IP) })
		switch service := set.At(e.IP); {
		case i >= 0:
			return fmt.Errorf("%s is the address of pod %s: name the pod instead", e.IP, set.Pods[i].Key())
		case service != nil:
			return fmt.Errorf("%s is the address of Service %s/%s, and policies see what is behind it: name its pods, or ask tightrope explain", e.IP, service.Namespace, service.Name)
		case set.IsServices(e.IP):
			return fmt.Errorf("%s is in --service-cidr, and policies see what is behind a Service, which is not in the input", e.IP)
		case set.IsPods(e.IP):
			return fmt.Errorf("%s is in --pod-cidr, and no pod in the input has it: what policies do depends on the pod's labels", e.IP)
		}
	}
	return nil
}

// ByPod lets every pod stand for itself.
func ByPod(ends []End) []End {
	all := slices.Clone(ends)
	for i := range all {
		all[i].Workload = ""
	}
	return all
}

// kinds are the short names that people are used to.
var kinds = map[string]string{
	"deploy": "deployment", "sts": "statefulset", "ds": "daemonset", "rs": "replicaset", "cj": "cronjob", "po": "pod",
	"rc": "replicationcontroller",
}

// Find returns the ends that a name means, at least one, in their order. Names
// are NAMESPACE, NAMESPACE/NAME of a pod or else of a workload, KIND/NAMESPACE/NAME,
// and KIND/NAME where one namespace only has it, or the given one.
func Find(ends []End, name, namespace string) ([]End, error) {
	parts := strings.Split(name, "/")
	for _, match := range meanings(parts, namespace) {
		var found []End
		for _, e := range ends {
			if match(e) {
				found = append(found, e)
			}
		}
		if len(found) == 0 {
			continue
		}
		if len(parts) == 2 {
			if other := slices.IndexFunc(found, func(e End) bool { return e.Namespace() != found[0].Namespace() }); other > 0 {
				return nil, fmt.Errorf("%q is in namespaces %s and %s: write KIND/NAMESPACE/NAME", name, found[0].Namespace(), found[other].Namespace())
			}
		}
		return found, nil
	}
	return nil, fmt.Errorf("nothing is called %q%s: write NAMESPACE, NAMESPACE/POD, NAMESPACE/WORKLOAD or deployment/NAMESPACE/NAME", name, suggestion(ends, parts[len(parts)-1]))
}

// meanings are what the parts of a name may mean, in the order of preference.
func meanings(parts []string, namespace string) []func(End) bool {
	is := func(ns, kind, name string) func(End) bool {
		return func(e End) bool {
			return e.Pod != nil && (ns == "" || e.Namespace() == ns) && (e.workload() == kind+"/"+name || kind == "pod" && e.Name() == name)
		}
	}
	kindOf := func(s string) string {
		s = strings.ToLower(s)
		if long, ok := kinds[s]; ok {
			return long
		}
		return s
	}
	switch len(parts) {
	case 1:
		return []func(End) bool{func(e End) bool { return e.Pod != nil && e.Namespace() == parts[0] }}
	case 2:
		return []func(End) bool{
			is(parts[0], "pod", parts[1]),
			func(e End) bool {
				_, name, _ := strings.Cut(e.workload(), "/")
				return e.Pod != nil && e.Namespace() == parts[0] && name == parts[1]
			},
			is(namespace, kindOf(parts[0]), parts[1]),
		}
	case 3:
		return []func(End) bool{is(parts[1], kindOf(parts[0]), parts[2])}
	}
	return nil
}

// suggestion names an end with the same last part, which is the common slip.
func suggestion(ends []End, last string) string {
	for _, e := range ends {
		if _, name, _ := strings.Cut(e.workload(), "/"); e.Pod != nil && (name == last || e.Name() == last) {
			return fmt.Sprintf(", but there is %s/%s", e.Namespace(), name)
		}
	}
	return ""
}
