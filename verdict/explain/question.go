package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// Names is a question as people ask it.
type Names struct {
	// From and To are NAMESPACE/POD, NAMESPACE/WORKLOAD, KIND/NAMESPACE/NAME, or an
	// address; To may be svc/NAMESPACE/NAME, or the address of a Service.
	From, To string
	Port     string // 443/TCP, 53/UDP or a name; of a Service, its port
	// Namespace of KIND/NAME; empty: the only one that has it.
	Namespace string
}

// Question is what to judge: every source against every target.
type Question struct {
	From, To []matrix.End // at least one each; of a workload, its pods
	Protocol corev1.Protocol
	Ports    []int32 // of each target
	// Note says what a name came to, for example a Service's target port; may be empty.
	Note string
	// Unmapped says why it is not known where connections to the target end, and
	// State what to add to the input; empty: it is known.
	Unmapped, State string
	// target is what was asked for, where that is not known.
	target string
	// outside says that the target is no pod all the same: what lets everything out
	// lets this out.
	outside bool
	// through is the Service on whose way nodes may rewrite the source; may be empty.
	through string
}

// Resolve finds what the names mean in the set. Every error is bad input.
func Resolve(set *manifest.Set, n Names) (Question, error) {
	port, err := matrix.ParsePort(n.Port)
	if err != nil {
		return Question{}, fmt.Errorf("--%w", err)
	}
	q := Question{Protocol: port.Protocol}
	ends := matrix.Ends(set)
	if q.From, err = resolve(set, ends, n.From, n.Namespace); err != nil {
		return q, fmt.Errorf("--from: %w", err)
	}
	if err := q.checkSource(set, n.From); err != nil {
		return q, err
	}
	if service, ok := serviceName(n.To, n.Namespace); ok {
		return q, q.behind(set, service, port)
	}
	if q.To, err = resolve(set, ends, n.To, n.Namespace); err != nil {
		return q, fmt.Errorf("--to: %w", err)
	}
	if q.To[0].Pod == nil {
		if done, err := q.address(set, q.To[0].IP, port); done || err != nil {
			return q, err
		}
	}
	if q.From[0].Pod == nil && q.To[0].Pod == nil {
		return q, fmt.Errorf("%s and %s are both outside the cluster, and policies are about pods: name a pod on one side", n.From, n.To)
	}
	for _, e := range q.To {
		number, err := numberOn(e, port)
		if err != nil {
			return q, err
		}
		q.Ports = append(q.Ports, number)
	}
	if port.Name != "" {
		q.Note = fmt.Sprintf("Port %s of %s is %d.", port.Name, q.To[0], q.Ports[0])
	}
	return q, nil
}

// checkSource refuses an address that no connection comes from, and one of a pod
// that is not in the input: what it may do depends on its labels.
func (q *Question) checkSource(set *manifest.Set, name string) error {
	ip := q.From[0].IP
	switch service := set.At(ip); {
	case q.From[0].Pod != nil:
	case service != nil:
		return fmt.Errorf("--from: %s is the address of Service %s/%s, from which no connection comes: name a pod", name, service.Namespace, service.Name)
	case set.IsServices(ip):
		return fmt.Errorf("--from: %s is in --service-cidr, and no connection comes from the address of a Service: name a pod", name)
	case set.IsPods(ip):
		return fmt.Errorf("--from: %s is in --pod-cidr, and no pod in the input has it: name the pod, or add it with its address", name)
	}
	return nil
}

func resolve(set *manifest.Set, ends []matrix.End, name, namespace string) ([]matrix.End, error) {
	if name == "" {
		return nil, fmt.Errorf("name a pod, a workload or an address, such as apps/chat-api")
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
		for _, e := range ends {
			if slices.Contains(e.Pod.IPs, ip.Unmap()) && !e.Pod.HostNetwork { // that has its node's
				return []matrix.End{e}, nil
			}
		}
		return matrix.OnNodes(set, []matrix.End{{IP: ip.Unmap()}}), nil
	}
	if !strings.Contains(name, "/") {
		return nil, fmt.Errorf("%q is no pod and no address: write NAMESPACE/POD, NAMESPACE/WORKLOAD or deployment/NAMESPACE/NAME", name)
	}
	found, err := matrix.Find(ends, name, namespace)
	parts := strings.Split(name, "/")
	if custom, ok := set.MakerIn(parts[max(len(parts)-2, 0)]); err != nil && ok {
		return nil, fmt.Errorf("%w; a controller may make such pods of %s, and the input does not show their labels: add the pods, as the cluster has them", err, custom)
	}
	return found, err
}

func numberOn(e matrix.End, port matrix.Port) (int32, error) {
	if port.Name == "" {
		return port.Number, nil
	}
	if e.Pod != nil {
		for _, p := range e.Pod.Ports {
			if p.Name == port.Name && cmp.Or(p.Protocol, corev1.ProtocolTCP) == port.Protocol {
				return p.Number, nil
			}
		}
	}
	return 0, fmt.Errorf("--port: %s declares no port %s: give its number", e, port)
}

// listed joins names for a sentence.
func listed(all []string, none string) string {
	switch len(all) {
	case 0:
		return none
	case 1:
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}
