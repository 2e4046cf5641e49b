package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

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

// apiServer is the Service that every cluster has for its API server.
const apiServer = corev1.NamespaceDefault + "/kubernetes"

// behind makes what a Service leads to the targets, on the ports that they listen
// on.
func (q *Question) behind(set *manifest.Set, name string, port matrix.Port) error {
	i := slices.IndexFunc(set.Services, func(s manifest.Service) bool { return s.Namespace+"/"+s.Name == name })
	if i < 0 {
		return fmt.Errorf("--to: there is no Service %q: write svc/NAMESPACE/NAME", name)
	}
	s := &set.Services[i]
	j := slices.IndexFunc(s.Ports, func(p manifest.ServicePort) bool {
		return p.Protocol == port.Protocol && (port.Name == "" && p.Port == port.Number || port.Name != "" && p.Name == port.Name)
	})
	if j < 0 && s.Spec.Type != corev1.ServiceTypeExternalName {
		return fmt.Errorf("--port: Service %s has no port %s: it has %s", name, port, portsOf(*s))
	}
	return q.lead(set, s, j, port)
}

func (q *Question) lead(set *manifest.Set, s *manifest.Service, j int, port matrix.Port) error {
	name := s.Namespace + "/" + s.Name
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		q.unknown("Service "+name, fmt.Sprintf("Service %s is another name for %s, and policies see the address that it has.", name, s.Spec.ExternalName),
			"Ask for that address: --to ADDRESS.", port.Number)
		return nil
	}
	ends := matrix.Ends(set)
	for _, b := range set.Backends(s, s.Ports[j]) {
		end := matrix.End{IP: b.IP}
		if b.Pod >= 0 {
			end = ends[b.Pod]
		}
		q.To, q.Ports = append(q.To, end), append(q.Ports, b.Port)
	}
	q.To = matrix.OnNodes(set, q.To)
	if q.From[0].Pod == nil && rewrites(s.Spec) {
		q.through = name
	}
	switch {
	case len(q.To) > 0:
		q.noteService(s, j)
	case len(s.Pods) > 0:
		return fmt.Errorf("--to: Service %s leads to port %s, which its pod %s does not declare, so that it leads nowhere", name, s.Ports[j].TargetPort.String(), set.Pods[s.Pods[0]].Key())
	case s.Selector != nil:
		return fmt.Errorf("--to: Service %s leads to no pod that is known here: name a pod or an address instead", name)
	default:
		q.outside = name == apiServer
		q.unknown("Service "+name, fmt.Sprintf("Service %s has no selector, and no EndpointSlice in the input says where it leads.", name),
			fmt.Sprintf("Add its EndpointSlices: kubectl get endpointslices -n %s -l kubernetes.io/service-name=%s -o yaml. Or ask for the address behind it: --to ADDRESS.", s.Namespace, s.Name), s.Ports[j].Port)
		if q.outside {
			q.Unmapped += " The API server's own port is often 6443, and policies see that one."
		}
	}
	return nil
}

func (q *Question) noteService(s *manifest.Service, j int) {
	name := s.Namespace + "/" + s.Name
	behind := "the pod"
	if q.To[0].Pod == nil {
		behind = "the address"
	}
	q.Note = fmt.Sprintf("Service %s on port %d leads to %s. Policies see that port, and %s, not the Service.", name, s.Ports[j].Port, q.ends(), behind)
	switch {
	case s.Headless:
		q.Note = fmt.Sprintf("Service %s has no address of its own: clients connect to %s, here on port %d.", name, namesOf(q.To), q.Ports[0])
	case name == apiServer:
		q.Note += " It is the API server's."
	}
}

// unknown notes a target of which it is not known where connections to it end.
func (q *Question) unknown(target, why, state string, port int32) {
	q.target, q.Unmapped, q.State = target, why, state
	q.To, q.Ports = []matrix.End{{IP: netip.IPv4Unspecified()}}, []int32{port}
}

// address makes what is behind the address of a Service, or a port of a node, the
// targets; done says that it is one.
func (q *Question) address(set *manifest.Set, ip netip.Addr, port matrix.Port) (done bool, err error) {
	asked := ip.String()
	switch service, node := set.At(ip), nodePort(set, ip, port); {
	case service != nil:
		q.To = nil
		err = q.behind(set, service.Namespace+"/"+service.Name, port)
		q.Note = strings.TrimSpace(fmt.Sprintf("%s is the address of Service %s/%s. %s", asked, service.Namespace, service.Name, q.Note))
		return true, err
	case node.service != nil:
		q.To = nil
		err = q.lead(set, node.service, node.port, port)
		q.Note = strings.TrimSpace(fmt.Sprintf("Port %d of node %s is that of Service %s/%s. %s", port.Number, asked, node.service.Namespace, node.service.Name, q.Note))
		return true, err
	case !set.IsServices(ip) && !set.IsPods(ip):
		if port.Name != "" || !mayBeInside(set, ip) {
			return false, nil
		}
		if !q.byChance(set, port) {
			q.Note = asked + " is taken for an address outside the cluster. If it is a pod's or a Service's, name that: --to NAMESPACE/POD or --to svc/NAMESPACE/NAME."
			return false, nil
		}
		q.unknown(asked, asked+" is a private address: it may be a pod's or a Service's, which the input does not show.",
			"State --pod-cidr and --service-cidr. If it is in one of them, name what has it: --to NAMESPACE/POD or --to svc/NAMESPACE/NAME.", port.Number)
	case port.Name != "":
		_, err = numberOn(q.To[0], port)
		return true, err
	case set.IsServices(ip):
		q.unknown(asked, asked+" is in --service-cidr, and no Service in the input has it.", "Add the Service that has it (kubectl get services -A -o yaml), or name the pod behind it: --to NAMESPACE/POD.", port.Number)
	default:
		q.unknown(asked, asked+" is in --pod-cidr, and no pod in the input has it.", "Name the pod: --to NAMESPACE/POD. Or add the pods with their addresses: kubectl get pods -A -o yaml.", port.Number)
	}
	return true, nil
}

type nodePortOf struct {
	service *manifest.Service
	port    int // index in its Ports
}

// nodePort finds the Service that has the port on every node.
func nodePort(set *manifest.Set, ip netip.Addr, port matrix.Port) nodePortOf {
	if port.Number == 0 || !slices.ContainsFunc(set.World.Nodes, func(n verdict.Node) bool { return slices.Contains(n.IPs, ip) }) {
		return nodePortOf{}
	}
	for i := range set.Services {
		for j, p := range set.Services[i].Spec.Ports {
			if p.NodePort == port.Number && cmp.Or(p.Protocol, corev1.ProtocolTCP) == port.Protocol {
				return nodePortOf{&set.Services[i], j}
			}
		}
	}
	return nodePortOf{}
}

func portsOf(s manifest.Service) string {
	var all []string
	for _, p := range s.Ports {
		all = append(all, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return listed(all, "none")
}

// ends says where a Service leads: its pods may listen on different ports, where
// its target port is a name.
func (q *Question) ends() string {
	at := map[int32][]matrix.End{}
	for i, port := range q.Ports {
		at[port] = append(at[port], q.To[i])
	}
	var all []string
	for _, port := range slices.Sorted(maps.Keys(at)) {
		all = append(all, fmt.Sprintf("port %d of %s", port, namesOf(at[port])))
	}
	return strings.Join(all, ", and to ")
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

// unmapped is the answer where it is not known where a connection ends. It is
// false where that does not matter: the target is no pod, and no policy is about
// what leaves the sources.
func (x *explainer) unmapped(q Question) (Answer, bool) {
	free := q.outside
	for _, from := range q.From {
		c := verdict.Conn{From: endOf(from), To: endOf(q.To[0]), Port: cmp.Or(q.Ports[0], 1), Protocol: q.Protocol}
		v := x.snapshot.Judge(c)
		free = free && v.Decision == verdict.Allow && v.Egress.Policy == ""
	}
	from := q.From[0].String()
	port := fmt.Sprintf("%d/%s", q.Ports[0], q.Protocol)
	a := Answer{From: from, To: q.target, Port: port, Verdict: verdict.Unknown.String(), Notes: []string{}, Additions: []Addition{}, Next: q.State,
		Sentence: fmt.Sprintf("Not known: whether %s may connect to %s on %s.", from, q.target, port)}
	if q.Note != "" {
		a.Notes = append(a.Notes, q.Note)
	}
	a.Notes = append(a.Notes, q.Unmapped)
	a.Out = Side{Title: "Out of " + from, Verdict: a.Verdict, Rule: q.Unmapped, Policies: []string{}, Text: "Policies see where the connection ends, and that is not known."}
	a.In = a.Out
	a.In.Title = "Into " + q.target
	if free {
		a.decision, a.Verdict, a.Next = verdict.Allow, verdict.Allow.String(), "Nothing needs to be done."
		a.Sentence = fmt.Sprintf("Yes: %s may connect to %s on %s.", from, q.target, port)
		a.Out.Verdict, a.Out.Text = a.Verdict, fmt.Sprintf("No policy is about what leaves %s, so everything may.", from)
		a.In.Verdict, a.In.Text = a.Verdict, "The API server is no pod, so no policy is about it."
	}
	return a, true
}
