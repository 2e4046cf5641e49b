package operator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

// Bounds of what one run may send and make. They are far above what a platform of a
// hundred paths needs.
const (
	maxProbePods     = 1000
	maxAttemptsOfRun = 20000 // a second, of all probe pods together
	maxAttemptsAtPod = 2000  // a second, at one pod: by its address, through Services, and as a name server
	toldASecond      = 250   // checks of a probe pod: it prints four lines of 16 KiB a second
)

// limitLoad refuses a plan whose probes would be a load for somebody else. Attempts that
// are made anew after a change of outcome are not counted: there are a dozen of each.
func (p *Plan) limitLoad(w *world, no *refusal) {
	agents := p.agents(w, nil)
	if n := len(agents); n > maxProbePods {
		no.add("the suites need %d probe pods, and one run makes at most %d: leave identities out, or split the rollout", n, maxProbePods)
	}
	total, l := 0.0, p.newLoad(w)
	for _, a := range agents {
		p.limitChecks(a, no)
		each := float64(time.Second) / float64(a.plan.Interval)
		total += each * float64(len(a.plan.Checks))
		l.add(a, each)
	}
	p.refuseRate(no, "all probe pods together would make", total, maxAttemptsOfRun)
	for _, target := range sortedKeys(l.at) {
		if l.at[target] > maxAttemptsAtPod {
			p.refuseRate(no, fmt.Sprintf("probe pods would try %s with", target), l.at[target], maxAttemptsAtPod)
			return // a suite may have thousands of targets, and one tells enough
		}
	}
}

// toldInTime is of how many checks a probe pod can tell before its word on the first of
// them is too old to prove anything, at an interval between attempts.
func (p *Plan) toldInTime() int {
	return min(probes.MaxChecks, int(toldASecond*p.freshness().Seconds()))
}

// limitChecks refuses more than one probe pod can try and tell of. The two pods of an
// identity try the same, so the second is told of with the first.
func (p *Plan) limitChecks(a agentSpec, no *refusal) {
	n, most := len(a.plan.Checks), p.toldInTime()
	raw, err := json.Marshal(a.plan)
	size := len(raw) + len(pods.PlanKey)
	switch {
	case a.front:
	case err != nil:
		no.add("the plan of probe pod %s: %v", a.name, err)
	case n > probes.MaxChecks || size > probes.MaxPlan:
		no.add("probe pod %s would have a plan of %d checks in %d KiB, and takes at most %d in %d KiB: let another identity of the same labels have some of its paths, or leave some out",
			a.name, n, size>>10, probes.MaxChecks, probes.MaxPlan>>10)
	case n > most:
		enough := (time.Duration(float64(n)/toldASecond*float64(time.Second))-freshSpare)/4 - p.Timeout
		no.add("probe pod %s would have %d checks, and tells in time of at most %d with spec.analysis.interval %v: set it to %v, let another identity of the same labels have some of its paths, or leave some out",
			a.name, n, most, p.Interval, enough.Truncate(10*time.Millisecond)+10*time.Millisecond)
	}
}

// load is how many attempts a second arrive where. Who gets those through a Service is
// for the data plane to say (client affinity and local traffic policies make it one pod),
// so each pod behind it is counted with all of them.
type load struct {
	world  *world
	plan   *Plan
	at     map[string]float64                  // by pod; by address, or Service, where no pod is known
	behind map[v1alpha1.ServiceTarget][]string // what at is to count for a Service
	pods   map[string]string                   // what at is to count for an address
	names  func(each float64)                  // counts questions to the cluster's name servers
}

func (p *Plan) newLoad(w *world) *load {
	l := &load{world: w, plan: p, at: map[string]float64{}, behind: map[v1alpha1.ServiceTarget][]string{}, pods: map[string]string{}}
	for key, pod := range w.pods {
		for _, ip := range pod.Status.PodIPs {
			if !pod.Spec.HostNetwork {
				l.pods[ip.IP] = "pod " + key.String()
			}
		}
	}
	l.names = func(each float64) { l.at["the cluster's name servers"] += each }
	if names, known := w.nameTarget(); known {
		l.names = func(each float64) { l.through(names, each) }
	}
	return l
}

// add counts what one probe pod does with each of its checks so many times a second. An
// attempt by name is a question to the cluster's name servers as well: no cache answers.
func (l *load) add(a agentSpec, each float64) {
	for _, c := range a.plan.Checks {
		if _, err := netip.ParseAddr(c.Host); err != nil {
			l.names(each)
		}
		switch r := a.routes[c.ID]; {
		case r.target.Name != "":
			l.at["pod "+r.target.String()] += each
		case r.via != v1alpha1.ViaService: // a pod of our own
		case r.path >= 0:
			l.through(l.plan.Paths[r.path].To.Service, each)
		default: // the control pod's questions
			l.names(each)
		}
	}
}

// through counts attempts through a Service.
func (l *load) through(t v1alpha1.ServiceTarget, each float64) {
	all, ok := l.behind[t]
	if !ok {
		all = l.endpoints(t)
		l.behind[t] = all
	}
	for _, where := range all {
		l.at[where] += each
	}
}

// endpoints are where a Service leads: what EndpointSlices say, be it true or not, is
// what the data plane does. A pod of two addresses is there once.
func (l *load) endpoints(t v1alpha1.ServiceTarget) []string {
	var all []string
	for _, b := range l.world.allBackends(t) { // those on the network of a node too
		all = append(all, "pod "+b.pod.Namespace+"/"+b.pod.Name)
	}
	for _, slice := range l.world.slices[types.NamespacedName{Namespace: t.Namespace, Name: t.Name}] {
		for _, ep := range slice.Endpoints {
			pod := l.world.behind(t.Namespace, ep)
			if len(ep.Addresses) > 0 && (pod == nil || !hasAddress(pod, ep.Addresses[0])) {
				all = append(all, cmp.Or(l.pods[ep.Addresses[0]], "address "+ep.Addresses[0]))
			}
		}
	}
	if len(all) == 0 {
		return []string{"Service " + t.Namespace + "/" + t.Name}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// refuseRate refuses attempts that are too many, with the interval at which they are not.
func (p *Plan) refuseRate(no *refusal, who string, rate, most float64) {
	if rate <= most {
		return
	}
	enough := time.Duration(float64(p.Interval)*rate/most).Truncate(10*time.Millisecond) + 10*time.Millisecond
	no.add("%s %.0f attempts a second, and one run makes at most %.0f: set spec.analysis.interval to %v, or split the rollout", who, rate, most, enough)
}
