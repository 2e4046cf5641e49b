package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/scenarios"
)

// isolatedBar is how soon no packet may pass any more: the goal of the design.
const isolatedBar = time.Second

// settledCalls is how many attempts in a row must be denied before a flow counts as shut
// for good where nothing else tells that the wait is over.
const settledCalls = 25

// shutting is how soon one flow was shut, from the moment before the policy was given
// to the API server.
type shutting struct {
	moment string
	denied time.Duration // until the first attempt began that did not get through
	passed time.Duration // until the last one had got through; 0: none did
}

// It fails on nothing but what cannot be measured.
var _ = Describe("how soon a pod is isolated", func() {
	It("is measured", func(ctx context.Context) {
		rounds := map[string]int{"short": 1, "long": 2}[os.Getenv("TIGHTROPE_BENCH")]
		if rounds == 0 {
			Skip("TIGHTROPE_BENCH is neither short nor long; `make bench` sets it")
		}
		kubeconfig := testenv.EnvConf().KubeconfigFile()
		cfg, err := restConfig(kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		clients, err := kubernetes.NewForConfig(cfg)
		Expect(err).NotTo(HaveOccurred())
		var all []shutting
		n := 0
		for range rounds {
			for _, moment := range []string{"canary", "enforce", "rollback"} {
				for _, app := range []string{"app", "store"} {
					for _, several := range []bool{false, true} {
						n++
						x := newIsolation(kubeconfig, clients, fmt.Sprintf("bench-%d", n), moment, app, several)
						all = append(all, x.measure(ctx, app)...)
						deleteNamespaces(ctx, clients, x.namespace)
					}
				}
			}
		}
		writeShutting(all)
	})
})

// measure isolates a pod in the middle of a run, and again when the run is over.
func (x *isolation) measure(ctx context.Context, app string) []shutting {
	_, err := playFor(ctx, x.kubeconfig, x.scenario(), holdLong, func(p scenarios.Progress) {
		if p.Step == "rollout" {
			x.callOften(ctx)
		}
		x.await(ctx, p)
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(x.since).NotTo(BeZero(), "the run was over before anybody isolated anything")
	during := x.shut(ctx, app, x.moment)
	Expect(x.clients.NetworkingV1().NetworkPolicies(x.namespace).Delete(ctx, "isolated", metav1.DeleteOptions{})).To(Succeed())
	deleted := time.Now()
	x.eventually(ctx, app, func(tail []attempt) bool { return tail[0].Passed && tail[0].Began.After(deleted) })
	x.isolate(ctx)
	x.eventually(ctx, app, func(tail []attempt) bool {
		return !slices.ContainsFunc(tail, func(a attempt) bool { return a.Passed }) && tail[0].Began.After(x.since)
	})
	return append(during, x.shut(ctx, app, "no run")...)
}

// flows that end when a workload is isolated: by caller, the target.
func (x *isolation) flows(app string) map[string]string {
	if app == "store" {
		return map[string]string{"app-caller": x.store, "peer-caller": x.store}
	}
	return map[string]string{"app-caller": x.store, "peer-caller": x.caller}
}

// callOften makes a pod beside each of two workloads, with its labels, that calls others
// every few hundredths of a second.
func (x *isolation) callOften(ctx context.Context) {
	x.pods = 5
	pods, err := x.clients.CoreV1().Pods(x.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=store"})
	Expect(err).NotTo(HaveOccurred())
	Expect(pods.Items).To(HaveLen(1))
	x.store = net.JoinHostPort(pods.Items[0].Status.PodIP, callerPort)
	x.caller = net.JoinHostPort(x.addCaller(ctx, "app-caller", map[string]string{"app": "app", "tier": "middle"}, x.store), callerPort)
	x.addCaller(ctx, "peer-caller", map[string]string{"app": "peer", "tier": "front"}, x.store, x.caller)
	for _, app := range []string{"app", "store"} {
		x.eventually(ctx, app, func(tail []attempt) bool { return tail[0].Passed })
	}
}

// addCaller makes a pod that calls, and returns its address.
func (x *isolation) addCaller(ctx context.Context, name string, labels map[string]string, targets ...string) (address string) {
	no, now := false, int64(0)
	pods := x.clients.CoreV1().Pods(x.namespace)
	_, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.PodSpec{
		AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &now,
		Containers: []corev1.Container{{Name: "caller", Image: callerImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: append([]string{callerWord}, targets...)}},
	}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	Eventually(func(g Gomega) {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
		address = pod.Status.PodIP
		g.Expect(address).NotTo(BeEmpty())
	}).WithContext(ctx).WithTimeout(callWait).WithPolling(50 * time.Millisecond).Should(Succeed())
	return address
}

// attempts of a caller at a target, in the order in which they began.
func (x *isolation) attempts(ctx context.Context, caller, target string) []attempt {
	var out []attempt
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: caller}}
	for line := range logLines(ctx, x.clients, pod, &corev1.PodLogOptions{}) {
		var a attempt
		if json.Unmarshal([]byte(line), &a) == nil && a.To == target {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b attempt) int { return a.Began.Compare(b.Began) })
	return out
}

// eventually waits until the newest attempts of each flow are as wanted.
func (x *isolation) eventually(ctx context.Context, app string, as func(tail []attempt) bool) {
	for caller, target := range x.flows(app) {
		Eventually(func() bool {
			all := x.attempts(ctx, caller, target)
			return len(all) >= settledCalls && as(all[len(all)-settledCalls:])
		}).WithContext(ctx).WithTimeout(callWait).WithPolling(200*time.Millisecond).Should(BeTrue(), "%s and %s", caller, target)
	}
}

// shut is how soon each flow was shut.
func (x *isolation) shut(ctx context.Context, app, moment string) []shutting {
	var out []shutting
	for caller, target := range x.flows(app) {
		s := shutting{moment: moment, denied: -1}
		for _, a := range x.attempts(ctx, caller, target) {
			switch {
			case a.Passed && a.Ended.After(x.since):
				s.passed = max(s.passed, a.Ended.Sub(x.since))
			case !a.Passed && a.Began.After(x.since) && s.denied < 0:
				s.denied = a.Began.Sub(x.since)
			}
		}
		Expect(s.denied).To(BeNumerically(">=", 0), "%s still gets through to %s", caller, target)
		GinkgoWriter.Printf("%s %s %s→%s: first denied after %v, last passed after %v\n", x.namespace, moment, caller, target, s.denied, s.passed)
		out = append(out, s)
	}
	return out
}

// writeShutting prints the table, and keeps it where TIGHTROPE_BENCH_REPORT says.
func writeShutting(all []shutting) {
	var b strings.Builder
	fmt.Fprintf(&b, "From a policy of somebody else on its way to the API server until the pods that it selects are shut, on %d cores; an attempt every %v:\n\n", runtime.NumCPU(), callPause)
	fmt.Fprintf(&b, "| in the middle of | flows | first attempt denied, p50 | p99 | last attempt that passed, p50 | p99 |\n| --- | --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&b, "| wanted | – | – | – | – | < %v |\n", isolatedBar)
	for _, moment := range []string{"canary", "enforce", "rollback", "", "no run"} {
		var denied, passed []time.Duration
		for _, s := range all {
			if s.moment == moment || moment == "" && s.moment != "no run" {
				denied, passed = append(denied, s.denied), append(passed, s.passed)
			}
		}
		Expect(denied).NotTo(BeEmpty())
		p99, missed := percentile(passed, 99), ""
		if p99 >= isolatedBar {
			missed = ", missed"
		}
		fmt.Fprintf(&b, "| %s | %d | %v | %v | %v | %v%s |\n", cmp.Or(moment, "any of them"), len(denied), percentile(denied, 50), percentile(denied, 99), percentile(passed, 50), p99, missed)
	}
	GinkgoWriter.Println(b.String())
	if dir := os.Getenv("TIGHTROPE_BENCH_REPORT"); dir != "" {
		Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "isolated.md"), []byte(b.String()), 0o644)).To(Succeed())
	}
}

// percentile of all that was measured, in whole milliseconds.
func percentile(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[(len(all)*percent+99)/100-1].Round(time.Millisecond)
}
