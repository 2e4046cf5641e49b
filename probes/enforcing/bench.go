package enforcing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

const (
	// role of every object of the bench.
	role = "check"
	// sideLabel says which policy of the bench a pod is for.
	sideLabel = "tightrope.dev/side"
	// outLabel takes a pod out of the policy of its side.
	outLabel, outValue = "tightrope.dev/out", "yes"
	// look is how often pods are looked at: logs come by themselves, states do not.
	look = 50 * time.Millisecond
	// interval between two attempts: they time the effect of a write.
	interval = 100 * time.Millisecond
	// timeout of an attempt. A node that is busy answers late.
	timeout = 250 * time.Millisecond
)

// Pair is a node and a direction: what is measured.
type Pair struct {
	Node      string
	Direction networkingv1.PolicyType
}

func (p Pair) String() string { return fmt.Sprintf("%s of node %s", p.Direction, p.Node) }

// Bench is the pods that measure. Namespace must be the caller's own, and empty.
type Bench struct {
	Namespace string
	Nodes     []string      // that are measured, each by a pod of its own
	Budget    time.Duration // after which Measure begins no other round; 0: it makes all
	Streams   bool          // the pods also hold connections open: see Established
	Placer    *pods.Placer

	set     *pods.Set
	checks  map[Pair]checkAt
	streams map[Pair]checkAt
	ips     []string // of the twin that no policy selects
}

// checkAt is whose check shows a pair.
type checkAt struct {
	agent types.NamespacedName
	id    string
}

// Close stops listening. The pods stay; Placer.Clear removes them.
func (b *Bench) Close() {
	if b.set != nil {
		b.set.Close()
	}
}

// Up makes the pods and returns once every agent is heard. The error of a context
// that ends says what was waited for.
func (b *Bench) Up(ctx context.Context) error {
	b.set = pods.NewSet(context.WithoutCancel(ctx), func() {})
	b.checks, b.streams = map[Pair]checkAt{}, map[Pair]checkAt{}
	twins, err := b.twinsUp(ctx)
	if err != nil {
		return err
	}
	agents := b.agents(twins)
	b.set.Listen(b.Placer.Logs, 0, agents)
	return b.until(ctx, func() (string, error) {
		waiting, err := b.ensure(ctx, agents, func(pod *corev1.Pod) bool { return pod != nil })
		if waiting == "" && err == nil && !b.set.AllCurrent() {
			waiting = "the agents have not said anything yet"
		}
		return waiting, err
	})
}

// twinsUp makes the twins and returns their addresses, by name.
func (b *Bench) twinsUp(ctx context.Context) (map[string]string, error) {
	specs := []pods.Spec{b.twin("open", "")}
	for _, node := range b.Nodes {
		specs = append(specs, b.twin(nodeName(node), node))
	}
	addresses := map[string]string{}
	err := b.until(ctx, func() (string, error) {
		return b.ensure(ctx, specs, func(pod *corev1.Pod) bool {
			if pod == nil || pod.Status.PodIP == "" {
				return false
			}
			addresses[pod.Name] = pod.Status.PodIP
			if pod.Name == specs[0].Name.Name {
				b.ips = nil
				for _, ip := range pod.Status.PodIPs {
					b.ips = append(b.ips, ip.IP)
				}
			}
			return true
		})
	})
	return addresses, err
}

// ensure makes the pods be there, and says which one is not as it should be; empty:
// all are.
func (b *Bench) ensure(ctx context.Context, specs []pods.Spec, ok func(*corev1.Pod) bool) (waiting string, err error) {
	var list corev1.PodList
	if err := b.Placer.Live.List(ctx, &list, client.InNamespace(b.Namespace)); err != nil {
		return "", fmt.Errorf("list pods of namespace %s: %w", b.Namespace, err)
	}
	for _, spec := range specs {
		var seen *corev1.Pod
		if i := slices.IndexFunc(list.Items, func(p corev1.Pod) bool { return p.Name == spec.Name.Name }); i >= 0 {
			seen = &list.Items[i]
		}
		pod, err := b.Placer.Ensure(ctx, b.set, seen, spec)
		if err != nil {
			return "", err
		}
		if !ok(pod) && waiting == "" {
			waiting = fmt.Sprintf("pod %s does not run yet", spec.Name)
			if seen != nil && pods.Waiting(seen) != "" {
				waiting += ": " + pods.Waiting(seen)
			}
		}
	}
	return waiting, nil
}

// until looks until nothing is waited for.
func (b *Bench) until(ctx context.Context, done func() (waiting string, err error)) error {
	for {
		waiting, err := done()
		if err != nil || waiting == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), waiting)
		case <-time.After(look):
		}
	}
}

func (b *Bench) twin(name, node string) pods.Spec {
	spec := pods.Spec{Name: b.name("twin-" + name), Role: role, Node: node}
	if node != "" {
		spec.Labels = map[string]string{sideLabel: string(networkingv1.PolicyTypeIngress)}
	}
	return spec
}

// agents are the asker, which tries the twin of every node, and one agent a node,
// which tries the open twin.
func (b *Bench) agents(twins map[string]string) []pods.Spec {
	asker, open := b.agent("asker", ""), twins[b.twin("open", "").Name.Name]
	all := []pods.Spec{}
	for _, node := range b.Nodes {
		address := twins[b.twin(nodeName(node), node).Name.Name]
		id := "ingress/" + nodeName(node)
		asker.Plan.Checks = append(asker.Plan.Checks, check(id, address))
		b.checks[Pair{node, networkingv1.PolicyTypeIngress}] = checkAt{asker.Name, id}

		agent := b.agent(nodeName(node), node)
		agent.Labels = map[string]string{sideLabel: string(networkingv1.PolicyTypeEgress)}
		agent.Plan.Checks = []probes.Check{check("egress", open)}
		b.checks[Pair{node, networkingv1.PolicyTypeEgress}] = checkAt{agent.Name, "egress"}
		if b.Streams {
			b.hold(&asker, Pair{node, networkingv1.PolicyTypeIngress}, id, address)
			b.hold(&agent, Pair{node, networkingv1.PolicyTypeEgress}, "egress", open)
		}
		all = append(all, agent)
	}
	asker.Plan.Checks = append(asker.Plan.Checks, probes.Check{ID: closedCheck, Type: "TCP", Protocol: "TCP", Host: open, Port: closedPort})
	if b.Streams {
		b.hold(&asker, undenied, "undenied", open)
		asker.Plan.Checks = append(asker.Plan.Checks, probes.Check{ID: nameCheck, Type: "TCP", Protocol: "TCP", Host: KnownName, Port: 443})
	}
	return append(all, asker)
}

// hold has an agent hold a connection open, which shows a pair.
func (b *Bench) hold(agent *pods.Spec, pair Pair, id, address string) {
	c := check("stream/"+id, address)
	c.Type = "Stream"
	agent.Plan.Checks = append(agent.Plan.Checks, c)
	b.streams[pair] = checkAt{agent.Name, c.ID}
}

func (b *Bench) agent(name, node string) pods.Spec {
	key := b.name("agent-" + name)
	return pods.Spec{Name: key, Role: role, Node: node, Plan: &probes.Plan{
		Run: b.Placer.Owner.Name, Agent: key.String(), Interval: interval, Timeout: timeout,
		Confirm: probes.Confirmation{Every: interval / 5, Count: 5},
	}}
}

// closedCheck tries a port on which no twin listens.
const (
	closedCheck = "closed"
	closedPort  = 9
)

// KnownName is one that every cluster's DNS answers for.
const KnownName = "kubernetes.default.svc"

const nameCheck = "name"

// Named is how attempts end on KnownName; Unsent: nobody tried, because the bench was
// made without Streams.
func (b *Bench) Named() probes.Outcome {
	st, _ := b.set.State(b.agent("asker", "").Name, nameCheck)
	return st.Last
}

// Addresses are those of one pod of the bench, the first first.
func (b *Bench) Addresses() []string { return b.ips }

// Closed is how attempts end on a port on which nobody listens: refused, or dropped
// by some. Where one connects, somebody else answers in the pod's place, and no
// attempt on that cluster proves anything. Unsent: nobody tried.
func (b *Bench) Closed() probes.Outcome {
	st, _ := b.set.State(b.agent("asker", "").Name, closedCheck)
	return st.Last
}

func check(id, address string) probes.Check {
	return probes.Check{ID: id, Type: "TCP", Protocol: "TCP", Host: address, Port: pods.TwinPort}
}

// name ends in a segment of its own: one network plugin tells pods apart by what is
// before the last dash, as if they were replicas.
func (b *Bench) name(what string) types.NamespacedName {
	return types.NamespacedName{Namespace: b.Namespace, Name: "tightrope-" + what + "-0"}
}

// nodeName is short: names of nodes may be longer than fits beside others.
func nodeName(node string) string {
	sum := sha256.Sum256([]byte(node))
	return hex.EncodeToString(sum[:4])
}

// policy denies the pods of a direction everything, but those that wear the label
// that takes them out of it.
func (b *Bench) policy(direction networkingv1.PolicyType) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: b.Placer.Owner.Meta(b.Namespace, "tightrope-deny-"+map[networkingv1.PolicyType]string{
			networkingv1.PolicyTypeIngress: "ingress", networkingv1.PolicyTypeEgress: "egress",
		}[direction], role),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{
				MatchLabels:      map[string]string{sideLabel: string(direction)},
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: outLabel, Operator: metav1.LabelSelectorOpNotIn, Values: []string{outValue}}},
			},
			PolicyTypes: []networkingv1.PolicyType{direction},
		},
	}
}
