package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// shutWithin is when the first call of an isolated pod must have failed, after the API
// server took the policy: half a second until the next call, a second until that one
// gives up, and the rest until packets are denied, on a machine that does much else. The
// benchmark measures how long that takes.
const shutWithin = 5 * time.Second

// isolation is a policy by somebody else that appears in the middle of a run.
type isolation struct {
	kubeconfig string
	clients    *kubernetes.Clientset
	namespace  string
	moment     string // canary, enforce or rollback
	selector   metav1.LabelSelector
	since      time.Time // when the API server was given it; zero: it was not yet
	pods       int       // of production
	// Addresses of pods that are called often; empty outside of the benchmark.
	store, caller string
}

// newIsolation is one of the pods of a workload, by one requirement or by several.
func newIsolation(kubeconfig string, clients *kubernetes.Clientset, namespace, moment, app string, several bool) *isolation {
	x := &isolation{kubeconfig: kubeconfig, clients: clients, namespace: namespace, moment: moment, pods: 3}
	x.selector.MatchLabels = map[string]string{"app": app}
	if several {
		x.selector.MatchLabels["tier"] = map[string]string{"app": "middle", "store": "back"}[app]
	}
	return x
}

var _ = Describe("a pod that somebody isolates", func() {
	var kubeconfig string
	var clientset *kubernetes.Clientset
	n := 0

	BeforeEach(func() {
		kubeconfig = testenv.EnvConf().KubeconfigFile()
		cfg, err := restConfig(kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		clientset, err = kubernetes.NewForConfig(cfg)
		Expect(err).NotTo(HaveOccurred())
	})

	AfterEach(func(ctx context.Context) { expectNothingLeft(ctx, clientset) })

	DescribeTable("reaches nobody and is reached by nobody from then on", func(ctx context.Context, always bool, moment, app string, several bool) {
		if !always && os.Getenv("TIGHTROPE_TEST_ALL") == "" {
			Skip("TIGHTROPE_TEST_ALL is not set: two of these are played always")
		}
		n++
		x := newIsolation(kubeconfig, clientset, fmt.Sprintf("ward-%d", n), moment, app, several)
		DeferCleanup(deleteNamespaces, clientset, x.namespace)
		rep, err := playFor(ctx, kubeconfig, x.scenario(), holdLong, func(p scenarios.Progress) { x.await(ctx, p) })
		Expect(err).NotTo(HaveOccurred())
		Expect(x.since).NotTo(BeZero(), "the run was over before anybody isolated anything: %s", rep.Message)

		Expect(rep.Result).To(Equal("RolledBack"), rep.Message)
		if moment == "rollback" {
			Expect(rep.Cause).To(Equal("Aborted"), rep.Message)
		} else {
			Expect(rep.Cause).To(Equal("Foreign"), rep.Message)
			Expect(rep.Message).To(ContainSubstring("policy " + x.namespace + "/isolated appeared"))
		}
		Expect(rep.Cuts).To(BeEmpty(), "somebody isolated a pod, and the candidates were blamed")
		for _, path := range rep.Paths {
			Expect(path.Finding).NotTo(Equal(report.CutFinding), "%s by %s: %s", path.Name, path.Via, path.Rule)
		}
		expectPolicies(ctx, clientset, x.namespace, "isolated")
		for _, call := range [][2]string{{"app", "store"}, {"peer", "app"}, {"peer", "store"}} {
			if call[0] == app || call[1] == app {
				x.expectShut(ctx, call[0], call[1])
			} else {
				x.expectOpen(ctx, call[0], call[1])
			}
		}
	},
		Entry("in a canary, calling, by several requirements", true, "canary", "app", true),
		Entry("in a rollback, called, by one requirement", true, "rollback", "store", false),
		Entry("in a canary, calling, by one requirement", false, "canary", "app", false),
		Entry("in a canary, called, by several requirements", false, "canary", "store", true),
		Entry("in enforce, calling, by several requirements", false, "enforce", "app", true),
		Entry("in enforce, called, by one requirement", false, "enforce", "store", false),
		Entry("in a rollback, calling, by several requirements", false, "rollback", "app", true),
	)
})

// scenario is the file of the scenario, in a namespace of this isolation's own.
func (x *isolation) scenario() string {
	raw, err := os.ReadFile("testdata/isolated.yaml")
	Expect(err).NotTo(HaveOccurred())
	text := strings.NewReplacer("name: isolated,", "name: isolated-"+x.namespace+",", "namespace: ward", "namespace: "+x.namespace, "{name: ward}", "{name: "+x.namespace+"}").Replace(string(raw))
	file := filepath.Join(GinkgoT().TempDir(), "isolated.yaml")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	return file
}

// await isolates the pod once the run has come as far as wanted.
func (x *isolation) await(ctx context.Context, p scenarios.Progress) {
	if p.Status == nil || !x.since.IsZero() {
		return
	}
	switch st := p.Status; {
	case x.moment == "rollback" && st.Phase == v1alpha1.PhaseRollingBack:
		x.isolate(ctx)
	case x.moment == "rollback" && st.Stage == "few" && x.enforced(ctx):
		x.abort(ctx)
	case x.moment == "canary" && st.Stage == "few" && x.enforced(ctx):
		x.isolate(ctx)
	case x.moment == "enforce" && st.Stage == "all":
		Eventually(x.narrow).WithContext(ctx).WithTimeout(20 * time.Second).WithPolling(50 * time.Millisecond).Should(BeTrue())
		x.isolate(ctx)
	}
}

func (x *isolation) isolate(ctx context.Context) {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: x.namespace, Name: "isolated"}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: x.selector, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}}
	x.since = time.Now()
	_, err := x.clients.NetworkingV1().NetworkPolicies(x.namespace).Create(ctx, policy, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

// enforced waits until every production pod wears the run's label.
func (x *isolation) enforced(ctx context.Context) bool {
	Eventually(func(g Gomega) {
		pods, err := x.clients.CoreV1().Pods(x.namespace).List(ctx, metav1.ListOptions{LabelSelector: "!" + v1alpha1.LabelRole})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods.Items).To(HaveLen(x.pods))
		for _, pod := range pods.Items {
			g.Expect(pod.Labels).To(HaveKey(v1alpha1.LabelEnforced))
		}
	}).WithTimeout(20 * time.Second).WithPolling(50 * time.Millisecond).Should(Succeed())
	return true
}

// narrow reports whether no bridge of the run selects a pod any more.
func (x *isolation) narrow(ctx context.Context) bool {
	bridges, err := x.clients.NetworkingV1().NetworkPolicies(x.namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelRole + "=bridge"})
	Expect(err).NotTo(HaveOccurred())
	for _, b := range bridges.Items {
		if !rollout.SelectsNothing(b.Spec.PodSelector) {
			return false
		}
	}
	return len(bridges.Items) > 0
}

// abort asks the run to go back.
func (x *isolation) abort(ctx context.Context) {
	cfg, err := restConfig(x.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	client, err := dynamic.NewForConfig(cfg)
	Expect(err).NotTo(HaveOccurred())
	runs := client.Resource(v1alpha1.GroupVersion.WithResource("policyrolloutruns")).Namespace(x.namespace)
	all, err := runs.List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(all.Items).To(HaveLen(1))
	_, err = runs.Patch(ctx, all.Items[0].GetName(), types.MergePatchType, []byte(`{"spec":{"intent":"Abort"}}`), metav1.PatchOptions{})
	Expect(err).NotTo(HaveOccurred())
}

// called is a change of outcome of a pod's own calls.
type called struct {
	Time        time.Time
	Msg, Target string
}

// calls are those from one workload to another, in order.
func (x *isolation) calls(ctx context.Context, from, to string) []called {
	pods, err := x.clients.CoreV1().Pods(x.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + from + ",!" + v1alpha1.LabelRole})
	Expect(err).NotTo(HaveOccurred())
	Expect(pods.Items).To(HaveLen(1))
	var out []called
	for line := range logLines(ctx, x.clients, pods.Items[0], &corev1.PodLogOptions{}) {
		var c called
		change := json.Unmarshal([]byte(line), &c) == nil && (c.Msg == "call works" || c.Msg == "call fails") // other lines sum calls up
		if change && strings.HasPrefix(c.Target, to+"."+x.namespace+".") {
			out = append(out, c)
		}
	}
	return out
}

// expectShut wants the calls to have worked until the pod was isolated, to have failed
// soon after that, and never to have worked again, which a log would show: it has each change.
func (x *isolation) expectShut(ctx context.Context, from, to string) {
	calls := x.calls(ctx, from, to)
	Expect(calls).To(ContainElement(HaveField("Msg", "call works")), "%s never got through to %s, so it shows nothing", from, to)
	var after []called
	for _, c := range calls {
		if c.Time.After(x.since) {
			after = append(after, c)
			Expect(c.Msg).To(Equal("call fails"), "%s got through to %s after somebody isolated it at %v: %v", from, to, x.since, calls)
		}
	}
	Expect(after).NotTo(BeEmpty(), "%s still gets through to %s: %v", from, to, calls)
	Expect(after[0].Time).To(BeTemporally("<", x.since.Add(shutWithin)), "%s got through to %s for too long after somebody isolated it at %v", from, to, x.since)
}

// expectOpen wants the calls that nobody isolated to have worked all the time.
func (x *isolation) expectOpen(ctx context.Context, from, to string) {
	works := false
	for _, c := range x.calls(ctx, from, to) {
		works = works || c.Msg == "call works"
		Expect(works && c.Msg == "call fails").To(BeFalse(), "%s was cut off from %s: %v", from, to, c)
	}
	Expect(works).To(BeTrue(), "%s never got through to %s, so it shows nothing", from, to)
}
