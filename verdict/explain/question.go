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
	// address outside the cluster; To may be svc/NAMESPACE/NAME.
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
}

// Resolve finds what the names mean in the set. Every error is bad input.
func Resolve(set *manifest.Set, n Names) (Question, error) {
	port, err := matrix.ParsePort(n.Port)
	if err != nil {
		return Question{}, fmt.Errorf("--%w", err)
	}
	q := Question{Protocol: port.Protocol}
	ends := matrix.Ends(set)
	if q.From, err = resolve(ends, n.From, n.Namespace); err != nil {
		return q, fmt.Errorf("--from: %w", err)
	}
	if service, ok := serviceName(n.To, n.Namespace); ok {
		return q, q.behind(set, service, port)
	}
	if q.To, err = resolve(ends, n.To, n.Namespace); err != nil {
		return q, fmt.Errorf("--to: %w", err)
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

func resolve(ends []matrix.End, name, namespace string) ([]matrix.End, error) {
	if name == "" {
		return nil, fmt.Errorf("name a pod, a workload or an address, such as apps/chat-api")
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
		for _, e := range ends {
			if slices.Contains(e.Pod.IPs, ip.Unmap()) {
				return []matrix.End{e}, nil
			}
		}
		return []matrix.End{{IP: ip.Unmap()}}, nil
	}
	if !strings.Contains(name, "/") {
		return nil, fmt.Errorf("%q is no pod and no address: write NAMESPACE/POD, NAMESPACE/WORKLOAD or deployment/NAMESPACE/NAME", name)
	}
	return matrix.Find(ends, name, namespace)
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

func serviceName(name, namespace string) (string, bool) {
	kind, rest, _ := strings.Cut(name, "/")
	if kind = strings.ToLower(kind); kind != "svc" && kind != "service" {
		return "", false
	}
	if !strings.Contains(rest, "/") {
		rest = cmp.Or(namespace, corev1.NamespaceDefault) + "/" + rest
	}
	return rest, true
}

// behind makes the pods of a Service the targets, on the port that it leads to.
func (q *Question) behind(set *manifest.Set, name string, port matrix.Port) error {
	i := slices.IndexFunc(set.Services, func(s manifest.Service) bool { return s.Namespace+"/"+s.Name == name })
	if i < 0 {
		return fmt.Errorf("--to: there is no Service %q: write svc/NAMESPACE/NAME", name)
	}
	s := set.Services[i]
	j := slices.IndexFunc(s.Ports, func(p manifest.ServicePort) bool {
		return p.Protocol == port.Protocol && (port.Name == "" && p.Port == port.Number || port.Name != "" && p.Name == port.Name)
	})
	switch {
	case j < 0:
		return fmt.Errorf("--port: Service %s has no port %s: it has %s", name, port, portsOf(s))
	case len(s.Pods) == 0:
		return fmt.Errorf("--to: Service %s leads to no pod that is known here: name a pod or an address instead", name)
	}
	ends := matrix.Ends(set)
	for _, at := range s.Pods {
		number, ok := s.Ports[j].On(&set.Pods[at])
		if !ok {
			return fmt.Errorf("--to: Service %s leads to port %s, which its pod %s does not declare, so that it leads nowhere", name, s.Ports[j].TargetPort.String(), set.Pods[at].Key())
		}
		q.To, q.Ports = append(q.To, ends[at]), append(q.Ports, number)
	}
	q.Note = fmt.Sprintf("Service %s on port %d leads to port %d of %s. Policies see that port, and the pod, not the Service.", name, s.Ports[j].Port, q.Ports[0], namesOf(q.To))
	if s.Headless {
		q.Note = fmt.Sprintf("Service %s has no address of its own: clients connect to %s, here on port %d.", name, namesOf(q.To), q.Ports[0])
	}
	return nil
}

func portsOf(s manifest.Service) string {
	var all []string
	for _, p := range s.Ports {
		all = append(all, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return listed(all, "none")
}

func namesOf(ends []matrix.End) string {
	var all []string
	for _, e := range ends[:min(3, len(ends))] {
		all = append(all, e.String())
	}
	if more := len(ends) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return listed(all, "nobody")
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
