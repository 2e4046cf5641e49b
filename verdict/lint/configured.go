package lint

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// target is a host that a container is told to call, and by what. Nothing else of
// the text that tells it is kept: it may hold a password.
type target struct {
	by   string // the variable, or "an argument"
	host string
	port int32 // 0: not stated
	// whole is the ConfigMap, as namespace/name, that the variable comes from together
	// with all others of it: a program need not use each of them.
	whole string
}

// String is host:port.
func (t target) String() string {
	if t.port == 0 {
		return t.host
	}
	return fmt.Sprintf("%s:%d", t.host, t.port)
}

const (
	mostTargets = 200   // of one class
	longestText = 4_096 // bytes of a variable or an argument that are looked at
)

// schemes are those of addresses that are commonly configured, with their ports.
var schemes = map[string]int32{
	"http": 80, "https": 443, "grpc": 0, "redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432, "mysql": 3306,
	"mongodb": 27017, "amqp": 5672, "amqps": 5671, "nats": 4222, "kafka": 9092, "tcp": 0, "ws": 80, "wss": 443,
}

var (
	addressed    = regexp.MustCompile(`\b[a-z][a-z0-9+]{1,14}://[^\s"',;]+`)
	serviceNames = regexp.MustCompile(`([a-z0-9-]+\.[a-z0-9-]+\.svc(?:\.cluster\.local)?)(?::(\d{1,5}))?(?:[^a-z0-9.:-]|$)`)
	// ownNames are variables for what others call the program by, and not for what it calls.
	ownNames  = regexp.MustCompile(`(^|_)(PUBLIC|EXTERNAL|ROOT|SITE|NEXTAUTH)_(URL|URI|HOST|HOSTNAME|DOMAIN|ADDRESS)$|^(APP_)?BASE_URL$|(^|_)(CORS|ORIGINS?|CALLBACK|REDIRECT)(_|$)`)
	hostNames = regexp.MustCompile(`(^|_)(HOST|HOSTS|HOSTNAME|ADDR|ADDRESS|URL|URI|SERVER|SERVERS|ENDPOINT|BROKERS|DOMAIN|UPSTREAM)$`)
)

// targetsIn finds addresses with a scheme in the text; where bare is true, the
// text may also be host or host:port itself.
func targetsIn(by, text string, bare bool) []target {
	if len(text) > longestText {
		return nil
	}
	var all []target
	for _, address := range addressed.FindAllString(text, mostTargets) {
		u, err := url.Parse(address)
		if err != nil || !isHost(u.Hostname()) {
			continue
		}
		usual, known := schemes[u.Scheme]
		number, err := strconv.ParseUint(cmp.Or(u.Port(), "0"), 10, 16)
		if known && err == nil {
			all = append(all, target{by: by, host: u.Hostname(), port: cmp.Or(int32(number), usual)})
		}
	}
	if len(all) > 0 {
		return all
	}
	if !bare {
		return inCluster(by, text)
	}
	host, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(cmp.Or(port, "0"), 10, 16)
	if err == nil && isHost(host) {
		all = append(all, target{by: by, host: host, port: int32(number)})
	}
	return all
}

// inCluster finds names of Services in a text, which the cluster's own domain tells.
func inCluster(by, text string) []target {
	var all []target
	for _, m := range serviceNames.FindAllStringSubmatch(text, mostTargets) {
		number, err := strconv.ParseUint(cmp.Or(m[2], "0"), 10, 16)
		if err == nil && isHost(m[1]) {
			all = append(all, target{by: by, host: m[1], port: int32(number)})
		}
	}
	return all
}

func isHost(s string) bool { return s != "localhost" && len(validation.IsDNS1123Subdomain(s)) == 0 }

// service is the Service of the input that the target names, seen from a
// namespace; nil if there is none.
func (v *view) service(t target, home string) *manifest.Service {
	parts := strings.Split(strings.TrimSuffix(t.host, ".cluster.local"), ".")
	switch {
	case len(parts) == 3 && parts[2] == "svc", len(parts) == 2:
		home = parts[1]
	case len(parts) != 1:
		return nil
	}
	i := slices.IndexFunc(v.set.Services, func(s manifest.Service) bool { return s.Namespace == home && s.Name == parts[0] })
	if i < 0 {
		return nil
	}
	return &v.set.Services[i]
}

// configuredCut finds pods that are told to call something and may not: a Service
// of the input, or a host outside of the cluster.
func configuredCut(v *view) []draft {
	cut, perhaps := &openings{view: v}, &openings{view: v}
	by := map[[2]*class]string{}
	var outside []draft
	for _, c := range v.classes {
		if c.HostNetwork {
			continue
		}
		proxied := v.proxied(c)
		for _, t := range v.toldToCall(c) {
			s := v.service(t, c.Namespace)
			switch {
			case s == nil:
				if d, ok := v.outsideDraft(c, t); ok && !proxied {
					outside = append(outside, d)
				}
			case v.meansMetrics(c, t, s): // metrics-forgotten tells it
			case t.whole == "":
				v.needService(cut, by, c, t, s)
			case slices.Contains(v.behindService(s), c): // its own address, for others
			case len(v.sharers(t.whole, v.behindService(s))) > 1:
				v.needService(perhaps, by, c, t, s)
			default:
				v.needService(cut, by, c, t, s)
			}
		}
	}
	return slices.Concat(configuredDrafts(cut, by, Warning), configuredDrafts(perhaps, by, Info), unique(outside))
}

// meansMetrics reports whether the class fetches metrics, and the target has some.
func (v *view) meansMetrics(c *class, t target, s *manifest.Service) bool {
	return scrapes(c) && slices.ContainsFunc(v.behindService(s), func(to *class) bool {
		return slices.ContainsFunc(v.metricPorts(to), func(m metricPort) bool { return v.leadsTo(t, c, to, m.port) })
	})
}

func (v *view) behindService(s *manifest.Service) []*class { return v.before[s.Namespace+"/"+s.Name] }

// needService notes what keeps the class from the Service, if it may reach none of
// the pods behind it.
func (v *view) needService(cut *openings, by map[[2]*class]string, c *class, t target, s *manifest.Service) {
	behind := v.behindService(s)
	for _, sp := range s.Ports {
		number := t.port
		if s.Headless {
			number = 0 // clients connect to the pods' own ports
		}
		if number != 0 && sp.Port != number || sp.Protocol != tcp {
			continue
		}
		reached := slices.ContainsFunc(behind, func(to *class) bool {
			on, ok := sp.On(&to.Pod)
			return ok && v.between(c, to, on, sp.Protocol).Decision != verdict.Deny
		})
		if reached || len(behind) == 0 || len(s.Ports) > 1 && number == 0 {
			continue
		}
		for _, to := range behind {
			if on, ok := sp.On(&to.Pod); ok {
				by[[2]*class{c, to}] = fmt.Sprintf("%s of %s names Service %s/%s", t.by, c.name(), s.Namespace, s.Name)
				cut.need(c, to, port{on, sp.Protocol}, nil, false)
			}
		}
	}
}

func configuredDrafts(o *openings, by map[[2]*class]string, s Severity) []draft {
	var drafts []draft
	for _, x := range o.all {
		from, to := x.peer, x.subjects[0]
		if x.direction == egress {
			from, to = x.subjects[0], x.peer
		}
		d := x.draft(s)
		d.what = fmt.Sprintf("%s may not reach %s on %s, which it is told to call.", from.name(), to.name(), portsText(x.ports))
		d.why = fmt.Sprintf("%s, and no rule allows it; %s.", o.view.isolators(x.subjects[0], x.direction), by[[2]*class{from, to}])
		d.fix = fmt.Sprintf("Allow %s from %s to %s %s.", portsText(x.ports), from.name(), to.name(), d.fix)
		if s == Info {
			d.why += " Others take the same ConfigMap whole, so these pods need not use all of it."
			d.fix = "If they use it: " + strings.ToLower(d.fix[:1]) + d.fix[1:]
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// outsideDraft is about a host outside of the cluster whose port no rule lets out
// to addresses.
func (v *view) outsideDraft(c *class, t target) (draft, bool) {
	isolating := v.isolated[c][egress]
	if len(isolating) == 0 || len(isolating[0].rules(egress)) == 0 || t.port == 0 || !outside(t.host) || v.othersDecide(c.Namespace) {
		return draft{}, false
	}
	if v.anyEgress(c, func(r rule) bool { return lists(r.ports, t.port, tcp) && leadsOut(r) }) {
		return draft{}, false
	}
	d := draft{policy: isolating[0], at: at("spec", "egress"), severity: Warning}
	d.what = fmt.Sprintf("%s may not connect to %s, which it is told to call.", c.name(), t)
	d.why = fmt.Sprintf("%s, and no rule allows port %d to addresses outside of the cluster; %s names the host.", v.isolators(c, egress), t.port, t.by)
	if t.whole != "" && len(v.sharers(t.whole, nil)) > 1 {
		d.severity = Info
		d.why += " Others take the same ConfigMap whole, so these pods need not use all of it."
	}
	d.fix = fmt.Sprintf("Allow %d/TCP to an ipBlock with the host's addresses; of one whose addresses change, to 0.0.0.0/0 and ::/0 except private and link-local ranges.", t.port)
	return d, true
}

// outside reports whether a host is one of the public DNS, as far as its name tells.
func outside(host string) bool {
	last := host[strings.LastIndex(host, ".")+1:]
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	return strings.Contains(host, ".") && !strings.Contains(host+".", ".svc.") &&
		!slices.Contains([]string{"local", "internal", "lan", "localhost", "cluster"}, last)
}

// leadsOut reports whether a rule may lead out of the cluster: for everyone, or
// for addresses that are not all private.
func leadsOut(r rule) bool {
	if len(r.peers) == 0 {
		return true
	}
	for _, peer := range r.peers {
		if peer.IPBlock == nil {
			continue
		}
		if cidr, err := netip.ParsePrefix(peer.IPBlock.CIDR); err == nil && (cidr.Bits() == 0 || !private(cidr) && !cidr.Addr().IsLinkLocalUnicast()) {
			return true
		}
	}
	return false
}
