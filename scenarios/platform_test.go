package scenarios

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/catalog"
	"github.com/tightrope-dev/tightrope/verdict"
)

const platform = "zero-trust-ai-platform"

func mustLoad(t *testing.T, name string) *Scenario {
	t.Helper()
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// edges are the paths of a suite as the design writes them.
func edges(s *Scenario, expect v1alpha1.Expectation) []string {
	var all []string
	for _, p := range s.Spec.Suite.Paths {
		if p.Expect == expect {
			to := p.To.Service
			all = append(all, strings.TrimSuffix(fmt.Sprintf("%s→%s:%d/%s", p.From, to.Name, to.Port, to.Protocol), "/"))
		}
	}
	slices.Sort(all)
	return all
}

func TestThePlatformHasExactlyThePathsOfTheDesign(t *testing.T) {
	s := mustLoad(t, platform)
	for expect, want := range map[v1alpha1.Expectation]string{
		v1alpha1.ExpectAllow: `batch→feature-store:6566 chat-api→feature-store:6566 chat-api→kube-dns:53/TCP chat-api→kube-dns:53/UDP
			chat-api→llm-gateway:4000 llm-gateway→kube-dns:53/TCP llm-gateway→kube-dns:53/UDP llm-gateway→model:8000
			llm-gateway→vector-db:6333 platform-admin→llm-gateway:8001 prometheus→llm-gateway:9090 prometheus→model:9090
			rag-worker→llm-gateway:4000 rag-worker→vector-db:6333`,
		v1alpha1.ExpectDeny: `batch→llm-gateway:4000 chat-api→model:8000 chat-api→vector-db:6333 feature-store→llm-gateway:4000
			model→notebook:443 notebook→feature-store:6566 notebook→llm-gateway:4000 notebook→llm-gateway:8001
			notebook→model:8000 notebook→vector-db:6333 rag-worker→feature-store:6566 rag-worker→llm-gateway:8001`,
	} {
		if got := edges(s, expect); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %v, want %v", expect, got, strings.Fields(want))
		}
	}
}

// A bad scenario is the good one with one rule forgotten: nothing else.
func TestABadScenarioForgetsExactlyOneRule(t *testing.T) {
	good := mustLoad(t, platform)
	tested := 0
	for _, name := range Library() {
		bad := mustLoad(t, name)
		if bad.Spec.Fault == nil {
			continue
		}
		tested++
		t.Run(name, func(t *testing.T) {
			if !reflect.DeepEqual(good.Suite(), bad.Suite()) || !reflect.DeepEqual(good.Spec.Topology, bad.Spec.Topology) {
				t.Error("suite or topology differ")
			}
			fault := bad.Spec.Fault.RemoveRule
			was, is := good.Rollout().Spec, bad.Rollout().Spec
			var missing []string
			for i, p := range was.Policies.Inline {
				if reflect.DeepEqual(p, is.Policies.Inline[i]) {
					continue
				}
				missing = append(missing, forgotten(t, p, is.Policies.Inline[i])...)
			}
			if want := fmt.Sprintf("%s %s %d", fault.Policy, fault.Direction, fault.Port); !slices.Equal(missing, []string{want}) {
				t.Errorf("the rollouts differ by %q, want %q", missing, want)
			}
			accepted := map[string]bool{}
			for _, e := range is.Exceptions {
				accepted[e.Path] = e.Type == v1alpha1.ExceptionPredictedCut
			}
			for _, cut := range bad.Spec.Expect.Cuts { // of which another test shows that they are what is predicted
				if !accepted[cut] {
					t.Errorf("no exception accepts that %s would be cut, so that the run would be refused", cut)
				}
			}
			if len(accepted) != len(bad.Spec.Expect.Cuts) || len(is.Exceptions) != len(accepted) {
				t.Errorf("exceptions %+v, cuts %v", is.Exceptions, bad.Spec.Expect.Cuts)
			}
			is.Policies, is.Exceptions = was.Policies, was.Exceptions
			if !reflect.DeepEqual(was, is) {
				t.Error("the rollouts differ by more than their policies and exceptions")
			}
		})
	}
	if tested != 2 {
		t.Errorf("%d bad scenarios tested, want 2", tested)
	}
}

// forgotten names the rules that one policy has and the other lacks; all else
// about them must be equal.
func forgotten(t *testing.T, was, is v1alpha1.CandidatePolicy) []string {
	t.Helper()
	var names []string
	note := func(d networkingv1.PolicyType, ports []networkingv1.NetworkPolicyPort) {
		names = append(names, fmt.Sprintf("%s %s %d", policyKey(was), d, ports[0].Port.IntVal))
	}
	rest := was.DeepCopy()
	rest.Spec.Ingress, rest.Spec.Egress = rest.Spec.Ingress[:0:0], rest.Spec.Egress[:0:0]
	for _, rule := range was.Spec.Ingress {
		if slices.ContainsFunc(is.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return reflect.DeepEqual(r, rule) }) {
			rest.Spec.Ingress = append(rest.Spec.Ingress, rule)
		} else {
			note(networkingv1.PolicyTypeIngress, rule.Ports)
		}
	}
	for _, rule := range was.Spec.Egress {
		if slices.ContainsFunc(is.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return reflect.DeepEqual(r, rule) }) {
			rest.Spec.Egress = append(rest.Spec.Egress, rule)
		} else {
			note(networkingv1.PolicyTypeEgress, rule.Ports)
		}
	}
	if !equality.Semantic.DeepEqual(rest.Spec, is.Spec) {
		t.Errorf("%s differs by more than rules that are missing", policyKey(was))
	}
	return names
}

// The verdict engine, asked about every path of the suite, agrees with what each
// scenario expects of the data plane: no path but the forgotten one is cut.
func TestTheVerdictAgreesWithWhatIsExpected(t *testing.T) {
	for _, name := range Library() {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, name)
			pods, world := platformPods(s), verdict.Compile(platformWorld(s), nil)
			var cuts, rules []string
			for _, p := range s.Spec.Suite.Paths {
				to := p.To.Service
				from, target := pods[p.From], pods[to.Name]
				if from == nil || target == nil {
					t.Fatalf("path %s: no pod for one of its ends", p.Name)
				}
				v := world.Judge(verdict.Conn{
					From: verdict.End{Pod: from}, To: verdict.End{Pod: target}, Port: to.Port, Protocol: protocolOf(to),
				})
				switch allowed := v.Decision == verdict.Allow; {
				case v.Decision == verdict.Unknown:
					t.Errorf("%s: unknown: %s", p.Name, v.Reason)
				case p.Expect == v1alpha1.ExpectDeny && allowed:
					t.Errorf("%s leaks: %s", p.Name, v.Reason)
				case p.Expect == v1alpha1.ExpectAllow && !allowed:
					cuts, rules = append(cuts, p.Name), append(rules, v.Reason)
				}
			}
			if !slices.Equal(cuts, s.Spec.Expect.Cuts) {
				t.Errorf("cut: %v, expected: %v", cuts, s.Spec.Expect.Cuts)
			}
			for _, rule := range rules {
				if !strings.Contains(rule, s.Spec.Expect.Rule) {
					t.Errorf("rule %q does not contain %q", rule, s.Spec.Expect.Rule)
				}
			}
		})
	}
}

// What the stand-ins call in their own work must go on under the good
// candidate, DNS included, or a committed rollout would leave a broken platform.
func TestTheGoodCandidateCutsNoCallOfAStandin(t *testing.T) {
	s := mustLoad(t, platform)
	pods, world := platformPods(s), verdict.Compile(platformWorld(s), nil)
	calls := 0
	allowed := func(from, to *verdict.Pod, service v1alpha1.ServiceTarget) {
		calls++
		conn := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: service.Port, Protocol: protocolOf(service)}
		if v := world.Judge(conn); v.Decision != verdict.Allow {
			t.Errorf("%s → %s:%d/%s: %s", from.Name, to.Name, service.Port, service.Protocol, v.Reason)
		}
	}
	for _, w := range s.Spec.Topology.Workloads {
		for _, c := range w.Calls {
			called, service, _ := s.Spec.Topology.service(c.Namespace, c.Service)
			port, _ := service.port(c.Port, "")
			allowed(pods[w.Name], pods[called.Name], v1alpha1.ServiceTarget{Port: port.target(), Protocol: "TCP"})
			for _, protocol := range []string{"UDP", "TCP"} {
				allowed(pods[w.Name], pods["kube-dns"], v1alpha1.ServiceTarget{Port: 53, Protocol: protocol})
			}
		}
	}
	if calls < 30 {
		t.Errorf("only %d calls found", calls)
	}
}

func TestProbesAreTheSafeOnesOfTheCatalog(t *testing.T) {
	s := mustLoad(t, platform)
	checked := 0
	for _, p := range s.Spec.Suite.Paths {
		if p.Probe.Type != v1alpha1.ProbeHTTP {
			continue
		}
		w, _, _ := s.Spec.Topology.service(p.To.Service.Namespace, p.To.Service.Name)
		profile, err := catalog.Get(w.Profile)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if port, _ := profile.Port(profile.Probe.Port); p.Probe.Path != profile.Probe.Path || p.To.Service.Port != port.Number {
			t.Errorf("%s asks %d%s, and the safe request of %s is %d%s", p.Name, p.To.Service.Port, p.Probe.Path, profile.Name, port.Number, profile.Probe.Path)
		}
	}
	if checked < 5 {
		t.Errorf("only %d HTTP probes found", checked)
	}
}

// platformPods makes one pod per workload, and one for DNS, by workload and
// Service name.
func platformPods(s *Scenario) map[string]*verdict.Pod {
	pods := map[string]*verdict.Pod{"kube-dns": {
		Namespace: "kube-system", Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"},
		IPs: []netip.Addr{netip.MustParseAddr("10.244.0.2")},
	}}
	address := netip.MustParseAddr("10.244.1.1")
	for _, w := range s.Spec.Topology.Workloads {
		address = address.Next()
		pods[w.Name] = &verdict.Pod{Namespace: w.Namespace, Name: w.Name, Labels: w.podLabels(), IPs: []netip.Addr{address}}
	}
	return pods
}

func platformWorld(s *Scenario) verdict.World {
	world := verdict.World{Namespaces: map[string]map[string]string{"kube-system": nil}}
	for _, ns := range s.Spec.Topology.Namespaces {
		world.Namespaces[ns.Name] = ns.Labels
	}
	for _, p := range s.Rollout().Spec.Policies.Inline {
		world.Policies = append(world.Policies, verdict.Policy{Namespace: p.Namespace, Name: p.Name, Spec: p.Spec})
	}
	return world
}
