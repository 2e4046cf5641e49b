package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const (
	benchSpace  = "bench"
	benchGroups = 50 // of pods with labels of their own
)

// crowd is one benchmark with many pods.
type crowd struct {
	nodes, pods, policies int
	rounds                int           // policies created and deleted to measure
	every                 time.Duration // between attempts at a node: the resolution
	readyBar, enforcedBar time.Duration
	memoryBar             uint64 // bytes, PSS of all processes; 0 means none
}

func (b crowd) bench(t *testing.T, table *bars) {
	l, _ := benchLab(t, b.nodes)
	c := benchClient(t, l)
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
	defer stop()
	_, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: benchSpace}}, metav1.CreateOptions{})
	fatal(t, err)
	waitAccount(ctx, t, c)
	start := time.Now()
	b.createPods(ctx, t, c)
	addresses := waitPods(ctx, t, c, "crowd", b.pods)
	running := time.Since(start)
	runPod(ctx, t, c, "reach", append([]string{"reach"}, addresses...))
	table.duration(fmt.Sprintf("%d pods on %d nodes running", b.pods, b.nodes), running, 0)
	table.duration(fmt.Sprintf("%d pods on %d nodes running, and each has answered", b.pods, b.nodes), time.Since(start), b.readyBar)
	b.createPolicies(ctx, t, c)
	b.enforcement(ctx, t, c, table)
	addMemory(t, table, l, fmt.Sprintf("%d pods on %d nodes", b.pods, b.nodes), b.memoryBar)
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func waitAccount(ctx context.Context, t *testing.T, c kubernetes.Interface) {
	t.Helper()
	w, err := c.CoreV1().ServiceAccounts(benchSpace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=default"})
	fatal(t, err)
	defer w.Stop()
	if _, ok := <-w.ResultChan(); !ok {
		t.Fatal("the namespace got no service account")
	}
}

func podOf(labels map[string]string, args ...string) corev1.PodTemplateSpec {
	grace := int64(0)
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{Name: "c", Image: "bench", Args: args}}}}
}

// createPods makes the crowd, in Deployments of one group each, and one target on
// every node.
func (b crowd) createPods(ctx context.Context, t *testing.T, c kubernetes.Interface) {
	t.Helper()
	for g := range benchGroups {
		labels := map[string]string{"part": "crowd", "group": fmt.Sprint(g)}
		replicas := int32(b.pods / benchGroups)
		_, err := c.AppsV1().Deployments(benchSpace).Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("crowd-%d", g)},
			Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: podOf(labels, "serve")}},
			metav1.CreateOptions{})
		fatal(t, err)
	}
}

// follow shows the pods of a selection, and every change of them, until see says
// that it has seen enough. A busy API server may end a watch: then it begins anew.
func follow(ctx context.Context, t *testing.T, c kubernetes.Interface, selection string, see func(*corev1.Pod) bool) {
	t.Helper()
	for ctx.Err() == nil {
		w, err := c.CoreV1().Pods(benchSpace).Watch(ctx, metav1.ListOptions{LabelSelector: selection})
		fatal(t, err)
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && see(p) {
				w.Stop()
				return
			}
		}
	}
	t.Fatalf("still waiting for pods with %s: %v", selection, context.Cause(ctx))
}

// waitPods returns the addresses of so many running pods of one part.
func waitPods(ctx context.Context, t *testing.T, c kubernetes.Interface, part string, want int) []string {
	t.Helper()
	found := map[string]string{}
	defer func() { t.Logf("%d of %d pods of %s ran", len(found), want, part) }()
	follow(ctx, t, c, "part="+part, func(p *corev1.Pod) bool {
		if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
			found[p.Name] = p.Status.PodIP
		}
		return len(found) == want
	})
	return slices.Collect(maps.Values(found))
}

// runPod returns when a pod has ended well.
func runPod(ctx context.Context, t *testing.T, c kubernetes.Interface, name string, args []string) {
	t.Helper()
	p := podOf(map[string]string{"part": name}, args...)
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := c.CoreV1().Pods(benchSpace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: p.Labels}, Spec: p.Spec}, metav1.CreateOptions{})
	fatal(t, err)
	var last corev1.PodPhase
	follow(ctx, t, c, "part="+name, func(p *corev1.Pod) bool {
		last = p.Status.Phase
		return last == corev1.PodSucceeded || last == corev1.PodFailed
	})
	if last == corev1.PodFailed {
		out, _ := c.CoreV1().Pods(benchSpace).GetLogs(name, &corev1.PodLogOptions{}).DoRaw(ctx)
		t.Fatalf("pod %s failed: %s", name, out)
	}
}

// createPolicies lets every group be reached by one other group, on a port of
// its own, so that each policy is rules and not a copy.
func (b crowd) createPolicies(ctx context.Context, t *testing.T, c kubernetes.Interface) {
	t.Helper()
	for i := range b.policies {
		port := intstr.FromInt32(int32(7000 + i))
		_, err := c.NetworkingV1().NetworkPolicies(benchSpace).Create(ctx, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("standing-%d", i)},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"group": fmt.Sprint(i % benchGroups)}},
				Ingress: []networkingv1.NetworkPolicyIngressRule{{
					From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"group": fmt.Sprint(i * 7 % benchGroups)}}}},
					Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
				}},
			}}, metav1.CreateOptions{})
		fatal(t, err)
	}
}

// enforcement creates a policy that closes a pod on every node, and deletes it,
// again and again, while a pod tries all of them without a pause.
func (b crowd) enforcement(ctx context.Context, t *testing.T, c kubernetes.Interface, table *bars) {
	t.Helper()
	targets := map[string]string{"part": "target"}
	_, err := c.AppsV1().DaemonSets(benchSpace).Create(ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "target"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: targets}, Template: podOf(targets, "serve")}}, metav1.CreateOptions{})
	fatal(t, err)
	args := []string{"watch", b.every.String()}
	for i, address := range waitPods(ctx, t, c, "target", b.nodes) {
		args = append(args, fmt.Sprintf("%d=%s", i, address))
	}
	p := podOf(map[string]string{"part": "watch"}, args...)
	_, err = c.CoreV1().Pods(benchSpace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "watch", Labels: p.Labels}, Spec: p.Spec}, metav1.CreateOptions{})
	fatal(t, err)
	waitPods(ctx, t, c, "watch", 1)
	logs, err := c.CoreV1().Pods(benchSpace).GetLogs("watch", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	fatal(t, err)
	defer logs.Close()
	news := bufio.NewScanner(logs)
	awaitAll(t, news, "open", b.nodes)
	policies := c.NetworkingV1().NetworkPolicies(benchSpace)
	var accepted, asked, lifted []time.Duration
	for range b.rounds {
		sent := time.Now()
		_, err := policies.Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "closed"},
			Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: targets}}}, metav1.CreateOptions{})
		fatal(t, err)
		answered := time.Now()
		closed := awaitAll(t, news, "shut", b.nodes)
		accepted, asked = append(accepted, max(0, closed.Sub(answered))), append(asked, closed.Sub(sent))
		fatal(t, policies.Delete(ctx, "closed", metav1.DeleteOptions{}))
		answered = time.Now()
		lifted = append(lifted, max(0, awaitAll(t, news, "open", b.nodes).Sub(answered)))
	}
	at := fmt.Sprintf("%d pods, %d standing policies, %d nodes", b.pods, b.policies, b.nodes)
	table.duration("policy accepted → enforced on every node, median; "+at, quantile(accepted, 50), 0)
	table.duration("policy accepted → enforced on every node, p99; "+at, quantile(accepted, 99), b.enforcedBar)
	table.duration("the same from the request on, the API server's write included, p99", quantile(asked, 99), 0)
	table.duration("deletion accepted → lifted on every node, p99", quantile(lifted, 99), 0)
}

// awaitAll reads the watching pod's log until every node has gone that way, and
// returns when the last one did.
func awaitAll(t *testing.T, news *bufio.Scanner, state string, nodes int) (last time.Time) {
	t.Helper()
	seen := map[string]bool{}
	for len(seen) < nodes {
		if !news.Scan() {
			t.Fatalf("the log of the watching pod ended: %v", news.Err())
		}
		t.Log(news.Text())
		var name, now string
		var at int64
		if n, _ := fmt.Sscan(news.Text(), &name, &now, &at); n != 3 || now != state {
			t.Fatalf("the watching pod says %q while all nodes should become %s: an attempt was lost, or a policy lapsed", news.Text(), state)
		}
		seen[name] = true
		if when := time.Unix(0, at); when.After(last) {
			last = when
		}
	}
	return last
}

// quantile returns the q-th percentile, by rank.
func quantile(all []time.Duration, q int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, len(sorted)*q/100)]
}
