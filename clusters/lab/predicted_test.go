package lab_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/verdict"
)

// The ports on which every pod answers.
var (
	predictedTCP = []string{"8080", "8081", "9090"}
	predictedUDP = []string{"5353", "8080"}
)

// predictedSpaces are the namespaces of the pods, with the zone that each is in.
var (
	predictedSpaces = []string{"red", "blue", "green"}
	predictedZones  = map[string]map[string]string{"red": {"zone": "one"}, "blue": {"zone": "two"}, "green": {}}
)

// TestPacketsDoWhatWasPredicted holds verdicts against packets. For random sets
// of policies on a dual-stack lab, every pair of pods is tried on every port and
// in both families, and each attempt must end as the engine predicted from the
// objects alone. Two readings of the specification that share no code meet here,
// and the kernel between them. TIGHTROPE_PREDICT_SETS says how many sets.
func TestPacketsDoWhatWasPredicted(t *testing.T) {
	sets, seed := 8, uint64(time.Now().UnixNano())
	if s := os.Getenv("TIGHTROPE_PREDICT_SETS"); s != "" {
		sets = number(t, s)
	}
	if s := os.Getenv("TIGHTROPE_PREDICT_SEED"); s != "" {
		seed = uint64(number(t, s))
	}
	p := newPrediction(t)
	var all tally
	for i := range uint64(sets) {
		d := drawing{rand.New(rand.NewPCG(seed+i, 1)), p.addresses}
		policies := d.policies()
		p.enforce(policies)
		got := p.compare(policies)
		all.add(got)
		if len(got.wrong) > 0 {
			text, _ := yaml.Marshal(policies)
			t.Fatalf("seed %d: %d of %d verdicts are not what packets do, the first:\n%s\n%s", seed+i, len(got.wrong), got.allow+got.deny, got.wrong[0], text)
		}
	}
	t.Logf("%d sets from seed %d: %d verdicts Allow, %d Deny, all as predicted; %d Unknown; %d attempts were made again", sets, seed, all.allow, all.deny, all.unknown, all.again)
	if total := all.allow + all.deny + all.unknown; all.allow < total/10 || all.deny < total/10 || all.unknown > total/3 {
		t.Errorf("the sets are lopsided, so little was tested: %+v", all)
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tally counts verdicts by decision.
type tally struct {
	allow, deny, unknown int
	again                int      // attempts that agreed only when they were repeated
	wrong                []string // what disagreed to the end
}

func (a *tally) add(b tally) {
	a.allow, a.deny, a.unknown, a.again = a.allow+b.allow, a.deny+b.deny, a.unknown+b.unknown, a.again+b.again
}

// prediction is a lab with pods that can ask each other.
type prediction struct {
	t         *testing.T
	client    kubernetes.Interface
	pods      []verdict.Pod
	addresses []netip.Addr
	shells    map[string]*shell // by pod, namespace/name
	markers   []string          // an address on every node, of a pod in barrier
	flips     int
}

// shell is a program in a pod that answers lines of targets.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func newPrediction(t *testing.T) *prediction {
	t.Helper()
	bin := binaries(t)
	place(t)
	program := podProgram(t, "testdata", "predicted")
	ctx, stop := context.WithTimeout(context.Background(), 2*patience)
	defer stop()
	l, err := lab.Up(ctx, lab.Options{Name: "predicted", Nodes: 2, Families: "IPv4,IPv6", Labd: filepath.Join(bin, "labd"), Images: map[string]string{"predicted": program}})
	fatal(t, err)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	p := &prediction{t: t, client: benchClient(t, l), shells: map[string]*shell{}}
	p.populate(ctx, bin, l.Kubeconfig())
	return p
}

// populate makes the pods, waits for their addresses, and opens a shell in each.
func (p *prediction) populate(ctx context.Context, bin, kubeconfig string) {
	p.t.Helper()
	for _, name := range append([]string{"barrier"}, predictedSpaces...) {
		_, err := p.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: predictedZones[name]}}, metav1.CreateOptions{})
		fatal(p.t, err)
	}
	nodes, err := p.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	fatal(p.t, err)
	if len(nodes.Items) != 2 {
		p.t.Fatalf("%d nodes instead of two", len(nodes.Items))
	}
	for i := range nodes.Items {
		marker := p.create(ctx, "barrier", fmt.Sprint("marker", i), nodes.Items[i].Name, 0)
		p.markers = append(p.markers, "tcp/"+net.JoinHostPort(marker.Status.PodIP, predictedTCP[0]))
	}
	p.open(p.create(ctx, "barrier", "asker", nodes.Items[0].Name, 0), bin, kubeconfig)
	for s, space := range predictedSpaces {
		for i := range 4 {
			made := p.create(ctx, space, fmt.Sprint("pod", i), nodes.Items[(s+i)%2].Name, s+i)
			p.pods = append(p.pods, verdict.PodOf(made))
			p.addresses = append(p.addresses, p.pods[len(p.pods)-1].IPs...)
			p.open(made, bin, kubeconfig)
		}
	}
}

// create returns the pod once it runs. The kind decides its labels and the
// numbers behind the names of its ports.
func (p *prediction) create(ctx context.Context, space, name, node string, kind int) *corev1.Pod {
	p.t.Helper()
	grace := int64(0)
	spec := corev1.PodSpec{NodeName: node, AutomountServiceAccountToken: new(bool), TerminationGracePeriodSeconds: &grace}
	http, metrics := int32(8080), int32(9090)
	if kind%2 == 1 {
		http, metrics = 8081, 8080
	}
	spec.Containers = []corev1.Container{{Name: "c", Image: "predicted", Env: []corev1.EnvVar{
		{Name: "TCP", Value: strings.Join(predictedTCP, " ")}, {Name: "UDP", Value: strings.Join(predictedUDP, " ")}}}}
	spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: http}, {Name: "metrics", ContainerPort: metrics}, {Name: "dns", ContainerPort: 5353, Protocol: corev1.ProtocolUDP}}
	labels := map[string]string{"app": []string{"web", "db"}[kind/2%2]}
	if kind%3 > 0 {
		labels["team"] = []string{"", "a", "b"}[kind%3]
	}
	_, err := p.client.CoreV1().Pods(space).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: spec}, metav1.CreateOptions{})
	fatal(p.t, err)
	w, err := p.client.CoreV1().Pods(space).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	fatal(p.t, err)
	defer w.Stop()
	for e := range w.ResultChan() {
		if pod, ok := e.Object.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodRunning && len(pod.Status.PodIPs) == 2 {
			return pod
		}
	}
	p.t.Fatalf("pod %s/%s did not run: %v", space, name, context.Cause(ctx))
	return nil
}

// open starts the shell of a pod. It ends with the test.
func (p *prediction) open(pod *corev1.Pod, bin, kubeconfig string) {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "labd"), "kubectl", "--kubeconfig", kubeconfig, "-n", pod.Namespace, "exec", "-i", pod.Name, "--", "predicted", "ask")
	in, err := cmd.StdinPipe()
	fatal(p.t, err)
	out, err := cmd.StdoutPipe()
	fatal(p.t, err)
	cmd.Stderr = os.Stderr
	fatal(p.t, cmd.Start())
	p.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	p.shells[pod.Namespace+"/"+pod.Name] = &shell{in, bufio.NewReader(out)}
}

// ask returns whether each target answered.
func (a *shell) ask(targets []string) ([]bool, error) {
	if _, err := fmt.Fprintln(a.in, strings.Join(targets, " ")); err != nil {
		return nil, err
	}
	line, err := a.out.ReadString('\n')
	line = strings.TrimSpace(line)
	if err != nil || len(line) != len(targets) {
		return nil, cmp.Or(err, fmt.Errorf("instead of %d answers: %q", len(targets), line))
	}
	reached := make([]bool, len(targets))
	for i := range line {
		reached[i] = line[i] == '+'
	}
	return reached, nil
}

// enforce replaces all policies, and returns when every node has seen it: the
// last write turns the markers of all nodes around.
func (p *prediction) enforce(policies []networkingv1.NetworkPolicy) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	for _, space := range append([]string{"barrier"}, predictedSpaces...) {
		fatal(p.t, p.client.NetworkingV1().NetworkPolicies(space).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	}
	for _, np := range policies {
		_, err := p.client.NetworkingV1().NetworkPolicies(np.Namespace).Create(ctx, &np, metav1.CreateOptions{})
		fatal(p.t, err)
	}
	p.flips++
	shut := p.flips%2 == 1
	if shut {
		_, err := p.client.NetworkingV1().NetworkPolicies("barrier").Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "shut"}}, metav1.CreateOptions{})
		fatal(p.t, err)
	}
	for {
		got, err := p.shells["barrier/asker"].ask(p.markers)
		fatal(p.t, err)
		if got[0] != shut && got[1] != shut {
			return
		}
		fatal(p.t, ctx.Err())
	}
}

// attempted is one connection, with what is predicted of it.
type attempted struct {
	conn   verdict.Conn
	target string
	want   verdict.Verdict
}

// compare tries every connection. What does not end as predicted is tried again
// a few times, because an answer may meet what an earlier set has left open.
func (p *prediction) compare(policies []networkingv1.NetworkPolicy) tally {
	p.t.Helper()
	w := verdict.World{Namespaces: predictedZones}
	for i := range policies {
		w.Policies = append(w.Policies, verdict.PolicyOf(&policies[i]))
	}
	s := verdict.Compile(w, p.pods)
	results := make([]tally, len(p.pods))
	var wg sync.WaitGroup
	for i := range p.pods {
		wg.Go(func() { results[i] = p.from(&p.pods[i], s) })
	}
	wg.Wait()
	var all tally
	for _, r := range results {
		all.add(r)
		all.wrong = append(all.wrong, r.wrong...)
	}
	return all
}

func (p *prediction) from(source *verdict.Pod, s *verdict.Snapshot) tally {
	var got tally
	var open []attempted
	for _, a := range p.connections(source) {
		a.want = s.Judge(a.conn)
		switch a.want.Decision {
		case verdict.Unknown:
			got.unknown++
			continue
		case verdict.Allow:
			got.allow++
		case verdict.Deny:
			got.deny++
		}
		open = append(open, a)
	}
	for try := 0; try < 5 && len(open) > 0; try++ {
		var targets []string
		for _, a := range open {
			targets = append(targets, a.target)
		}
		reached, err := p.shells[source.Key()].ask(targets)
		if err != nil {
			got.wrong = append(got.wrong, fmt.Sprintf("%s could not ask: %v", source.Key(), err))
			return got
		}
		var left []attempted
		for i, a := range open {
			if reached[i] != (a.want.Decision == verdict.Allow) {
				left = append(left, a)
			}
		}
		open = left
		got.again += len(open)
	}
	for _, a := range open {
		got.wrong = append(got.wrong, fmt.Sprintf("%s to %s (%s): predicted %s, because %s", a.conn.From, a.conn.To, a.target, a.want.Decision, a.want.Reason))
	}
	return got
}

// connections are those of a pod to all pods, itself among them, on all ports in
// both families.
func (p *prediction) connections(from *verdict.Pod) []attempted {
	var all []attempted
	for i := range p.pods {
		to := &p.pods[i]
		for f := range 2 {
			end := func(pod *verdict.Pod) verdict.End { return verdict.End{Pod: pod, IP: pod.IPs[f]} }
			add := func(protocol corev1.Protocol, ports []string) {
				for _, port := range ports {
					n, _ := strconv.Atoi(port)
					all = append(all, attempted{verdict.Conn{From: end(from), To: end(to), Port: int32(n), Protocol: protocol},
						string(protocol) + "/" + net.JoinHostPort(to.IPs[f].String(), port), verdict.Verdict{}})
				}
			}
			add(corev1.ProtocolTCP, predictedTCP)
			add(corev1.ProtocolUDP, predictedUDP)
		}
	}
	return all
}
