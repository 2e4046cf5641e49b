package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"iter"
	"os"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// holdLong is how long a held run may be waited for where somebody repairs it: its
// stages' soak and then some, and less than a story may take.
const holdLong = 40 * time.Second

var _ = Describe("what is predicted", func() {
	var kubeconfig string
	var clientset *kubernetes.Clientset

	BeforeEach(func() {
		kubeconfig = testenv.EnvConf().KubeconfigFile()
		cfg, err := restConfig(kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		clientset, err = kubernetes.NewForConfig(cfg)
		Expect(err).NotTo(HaveOccurred())
	})

	AfterEach(func(ctx context.Context) { expectNothingLeft(ctx, clientset) })

	// Somebody deletes the broad policy, which is the obvious repair. From then on
	// only the candidate lets the app in, and the run must not take it away.
	It("holds on a leak through somebody else's policy, and goes on once that is deleted", func(ctx context.Context) {
		DeferCleanup(deleteNamespaces, clientset, "clients", "shop")
		var held v1alpha1.PolicyRolloutRunStatus
		rep, err := playFor(ctx, kubeconfig, "testdata/broad-neighbour.yaml", holdLong, func(p scenarios.Progress) {
			if p.Status == nil || p.Status.Phase != v1alpha1.PhaseHeld || held.Phase != "" {
				return
			}
			held = *p.Status.DeepCopy()
			Expect(clientset.NetworkingV1().NetworkPolicies("shop").Delete(ctx, "broad", metav1.DeleteOptions{})).To(Succeed())
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(held.Phase).To(Equal(v1alpha1.PhaseHeld), "the run never held: %s", rep.Message)
		Expect(held.Cause).To(Equal("Leak"))
		Expect(held.Message).To(ContainSubstring("stranger→store"))
		Expect(held.Message).To(ContainSubstring("shop/broad"))
		Expect(held.Message).NotTo(ContainSubstring("the candidate"))

		Expect(rep.Result).To(Equal("Committed"), rep.Message)
		Expect(rep.Unmet).To(BeEmpty())
		Expect(rep.Cuts).To(BeEmpty())
		Expect(rep.Leaks).NotTo(BeEmpty())
		for _, leak := range rep.Leaks {
			Expect(leak.Path).To(Equal("stranger→store"))
			Expect(leak.Rule).To(ContainSubstring("shop/broad"))
		}
		for _, path := range rep.Paths { // what was measured last
			Expect(path.Finding).To(Equal(report.Holds), "%s by %s: %s", path.Name, path.Via, path.Note)
		}
		expectCalls(ctx, clientset, "clients", "app")
		expectPolicies(ctx, clientset, "shop", "closed", "store")
	})

	It("refuses a cut that nobody accepts, and applies nothing", func(ctx context.Context) {
		DeferCleanup(deleteNamespaces, clientset, "crew", "depot")
		applied := policiesSeen(ctx, clientset, "depot")
		rep, err := playFor(ctx, kubeconfig, "testdata/typo.yaml", holdLong, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal("Refused"), rep.Message)
		Expect(report.ExitCode(rep)).To(Equal(0), "the scenario expects it")
		for _, says := range []string{
			"app→store", "depot/store ingress: no rule allows 6566/TCP from crew/app", // the rule
			"to spec.ingress of depot/store", "podSelector: {matchLabels: {app: app}}", "{port: 6566, protocol: TCP}", // its repair
			"PredictedCut", // the other way on
		} {
			Expect(rep.Message).To(ContainSubstring(says))
		}
		Expect(applied()).To(BeEmpty())
		expectCalls(ctx, clientset, "crew", "app")
	})

	It("starts a soak anew where an agent was killed, whatever stages are called", func(ctx context.Context) {
		if os.Getenv("TIGHTROPE_TEST_ALL") == "" {
			Skip("TIGHTROPE_TEST_ALL is not set: the stories of rollout/operator start agents again")
		}
		DeferCleanup(deleteNamespaces, clientset, "yard", "shed")
		const soak, late = 10 * time.Second, 6 * time.Second
		killed := make(chan time.Time, 1)
		var kill *time.Timer
		rep, err := playFor(ctx, kubeconfig, "testdata/agent-killed.yaml", holdLong, func(p scenarios.Progress) {
			if kill == nil && p.Status != nil && p.Status.Stage == "rollback" && p.Status.Phase == v1alpha1.PhaseEnforce {
				kill = time.AfterFunc(late, func() {
					defer GinkgoRecover()
					if kill9("agent") {
						killed <- time.Now()
					}
				})
			}
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal("Committed"), rep.Message)
		Expect(rep.Cuts).To(BeEmpty())
		Expect(killed).To(HaveLen(1), "no agent was killed, so nothing was tested")
		at, names := <-killed, []string{}
		for _, phase := range rep.Phases {
			names = append(names, phase.Name)
			if phase.Name == "rollback" {
				Expect(phase.To.Sub(at)).To(BeNumerically(">=", soak), "the stage ended before it had soaked anew")
			}
		}
		Expect(names).To(Equal([]string{"preflight", "commit", "expand", "rollback", "(commit)"}))
		for _, path := range rep.Paths {
			Expect([]rune(path.Name)).To(HaveLen(120))
			Expect(path.Finding).To(Equal(report.Holds), "%s by %s: %s", path.Name, path.Via, path.Note)
		}
	})

	// The policies that are there let through what the candidates do not: each of them
	// has to go, and no call of the platform may fail on the way.
	It("changes and removes policies that somebody wrote by hand", func(ctx context.Context) {
		DeferCleanup(deleteNamespaces, clientset, "web", "llm", "vectors", "sandbox")
		rep, err := playFor(ctx, kubeconfig, "tighten-what-is-there", holdLong, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal("Committed"), rep.Message)
		Expect(rep.Unmet).To(BeEmpty())
		for _, path := range rep.Paths { // of which three leak before
			Expect(path.Finding).To(Equal(report.Holds), "%s by %s: %s", path.Name, path.Via, path.Note)
		}
		expectCalls(ctx, clientset, "web", "chat-api")
		expectPolicies(ctx, clientset, "web", "egress")
		expectPolicies(ctx, clientset, "llm", "llm-gateway")
		expectPolicies(ctx, clientset, "vectors", "default-deny", "vector-db")
	})
})

// deleteNamespaces makes room for other stories; it need not be over for them.
func deleteNamespaces(ctx context.Context, c *kubernetes.Clientset, names ...string) {
	for _, name := range names {
		Expect(client.IgnoreNotFound(c.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))).To(Succeed())
	}
}

// callWait is how long a pod's first call that works may be waited for. A run can be
// over before it: a refusal comes within seconds of the pod's start.
const callWait = 30 * time.Second

// expectCalls wants production to have worked all the time: every pod's own calls
// did, and none has failed since the first that did.
func expectCalls(ctx context.Context, c *kubernetes.Clientset, namespace, app string) {
	expectCallsSince(ctx, c, namespace, app, time.Time{})
}

// expectCallsSince is expectCalls for pods that an earlier story has cut.
func expectCallsSince(ctx context.Context, c *kubernetes.Clientset, namespace, app string, since time.Time) {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	Expect(err).NotTo(HaveOccurred())
	Expect(pods.Items).NotTo(BeEmpty())
	for _, pod := range pods.Items {
		Expect(firstCall(ctx, c, pod)).To(BeTrue(), "pod %s never got through, so it shows nothing", pod.Name)
		works := false
		for line := range logLines(ctx, c, pod, &corev1.PodLogOptions{}) {
			switch {
			case strings.Contains(line, `"call works"`):
				works = true
			case works && strings.Contains(line, `"call fails"`) && !saidAt(line).Before(since):
				Fail("production was cut: " + pod.Name + ": " + line)
			}
		}
	}
}

// saidAt is when a line of a stand-in was written.
func saidAt(line string) time.Time {
	var said struct{ Time time.Time }
	Expect(json.Unmarshal([]byte(line), &said)).To(Succeed(), line)
	return said.Time
}

// firstCall follows the pod's log until a call works, and says whether one did.
func firstCall(ctx context.Context, c *kubernetes.Clientset, pod corev1.Pod) bool {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	for line := range logLines(ctx, c, pod, &corev1.PodLogOptions{Follow: true}) {
		if strings.Contains(line, `"call works"`) {
			return true
		}
	}
	return false
}

func logLines(ctx context.Context, c *kubernetes.Clientset, pod corev1.Pod, opts *corev1.PodLogOptions) iter.Seq[string] {
	return func(yield func(string) bool) {
		log, err := c.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, opts).Stream(ctx)
		Expect(err).NotTo(HaveOccurred())
		defer func() { Expect(log.Close()).To(Succeed()) }()
		for lines := bufio.NewScanner(log); lines.Scan() && yield(lines.Text()); {
		}
	}
}

func expectPolicies(ctx context.Context, c *kubernetes.Clientset, namespace string, want ...string) {
	list, err := c.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	Expect(names).To(ConsistOf(want))
}

// policiesSeen watches a namespace from now on. What it returns ends the watch and
// says which policies were ever there.
func policiesSeen(ctx context.Context, c *kubernetes.Clientset, namespace string) func() []string {
	w, err := c.NetworkingV1().NetworkPolicies(namespace).Watch(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	var names []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*networkingv1.NetworkPolicy); ok && e.Type == watch.Added {
				names = append(names, p.Name)
			}
		}
	})
	return func() []string {
		w.Stop()
		reading.Wait()
		return names
	}
}
