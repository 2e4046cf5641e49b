package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// The platform's namespaces, whose policies the runs change.
var platform = []string{"apps", "ai", "data", "ops", "untrusted"}

// The order matters: what ends rolled back comes first, the good set commits and
// stays, and is the last to be played.
var _ = Describe("the library on a cluster that enforces", Ordered, func() {
	var kubeconfig string
	var clientset *kubernetes.Clientset

	BeforeAll(func() {
		kubeconfig = testenv.EnvConf().KubeconfigFile()
		cfg, err := restConfig(kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		clientset, err = kubernetes.NewForConfig(cfg)
		Expect(err).NotTo(HaveOccurred())
	})

	AfterEach(func(ctx context.Context) { expectNothingLeft(ctx, clientset) })

	DescribeTable("ends as it expects", func(ctx context.Context, name, result string, policies int) {
		rep, err := play(ctx, kubeconfig, name, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal(result), rep.Message)
		Expect(rep.Unmet).To(BeEmpty())
		Expect(report.ExitCode(rep)).To(Equal(0))
		Expect(countPolicies(ctx, clientset)).To(Equal(policies))
		Expect(rep.Predicted).NotTo(BeEmpty())
		for _, p := range rep.Predicted {
			Expect(p.Accepted).NotTo(BeEmpty(), "%s of %s", p.Finding, p.Path)
		}
		for _, cut := range rep.Cuts {
			Expect(cut.Latencies.Detect).NotTo(BeNil())
			Expect(cut.Latencies.Decide).NotTo(BeNil())
			Expect(cut.Latencies.Restore).NotTo(BeNil())
			Expect(cut.Latencies.Broken).To(Equal(report.BrokenByDrop), "%s by %s", cut.Path, cut.Via)
		}
	},
		Entry("an egress rule is missed in the shadow stage", "gw-forgot-dns", "RolledBack", 0),
		Entry("an ingress rule is missed on the first production pod", "observability-blackout", "RolledBack", 0),
	)

	It("takes the change back when interrupted in the middle of a canary", func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rep, err := play(ctx, kubeconfig, "zero-trust-ai-platform", at("few", cancel))
		Expect(err).To(MatchError(scenarios.ErrInterrupted))
		Expect(rep.Result).To(Equal("RolledBack"), rep.Message)
		Expect(rep.Cause).To(Equal("Aborted"))
		Expect(countPolicies(context.WithoutCancel(ctx), clientset)).To(BeZero())
		deleteRollout(context.WithoutCancel(ctx), kubeconfig, "zero-trust-ai-platform")
	})

	DescribeTable("survives a controller that is killed", func(ctx context.Context, stage string) {
		killed := false
		rep, err := play(ctx, kubeconfig, "zero-trust-ai-platform", at(stage, func() {
			if !killed {
				killed = killController()
			}
		}))
		Expect(err).NotTo(HaveOccurred())
		Expect(killed).To(BeTrue(), "the controller's process was not found, so nothing was tested")
		Expect(rep.Result).To(Or(Equal("Committed"), Equal("RolledBack"), Equal("Inconclusive")), rep.Message)
		if rep.Result == "Committed" {
			Expect(countPolicies(ctx, clientset)).To(Equal(len(rep.Policies)))
		} else {
			Expect(countPolicies(ctx, clientset)).To(BeZero())
		}
		deletePolicies(ctx, clientset)
		deleteRollout(ctx, kubeconfig, "zero-trust-ai-platform")
	},
		Entry("in the middle of a canary", "few"),
		Entry("in the middle of enforce", "all"),
	)

	It("commits the good set, and the data plane itself counts what it denies", func(ctx context.Context) {
		rep, err := play(ctx, kubeconfig, "zero-trust-ai-platform", nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal("Committed"), rep.Message)
		Expect(rep.Coverage.Proved).To(Equal(rep.Coverage.Required))
		Expect(rep.Coverage.Required).To(BeNumerically(">", 0))
		for _, path := range rep.Paths {
			Expect(path.Finding).To(Equal(report.Holds), "%s by %s: %s", path.Name, path.Via, path.Note)
		}
		Expect(countPolicies(ctx, clientset)).To(Equal(len(rep.Policies)))
		// Stand-ins that nobody allows keep calling; the kernel's own counters must show it.
		allowed, denied := policyCounters(ctx, clientset)
		Expect(allowed).To(BeNumerically(">", 0))
		Expect(denied).To(BeNumerically(">", 0))
	})
})

var _ = Describe("a cluster that accepts policies and enforces none", Ordered, func() {
	var ignoring *lab.Lab

	BeforeAll(func(ctx context.Context) {
		var err error
		ignoring, err = startLab(context.WithoutCancel(ctx), "ignore")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) { Expect(ignoring.Down(ctx)).To(Succeed()) })
	})

	for _, name := range scenarios.Library() {
		It("proves nothing about "+name, func(ctx context.Context) {
			rep, err := play(ctx, ignoring.Kubeconfig(), name, nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(rep.Result).To(Equal("Inconclusive"), rep.Message)
			Expect(rep.Message).To(ContainSubstring("this cluster does not enforce NetworkPolicy"))
			Expect(report.ExitCode(rep)).To(Equal(3))
		})
	}
})

// at calls act once, when a run has entered a stage.
func at(stage string, act func()) func(scenarios.Progress) {
	done := false
	return func(p scenarios.Progress) {
		if p.Status != nil && p.Status.Stage == stage && !done {
			done = true
			act()
		}
	}
}

func countPolicies(ctx context.Context, c *kubernetes.Clientset) int {
	n := 0
	for _, ns := range platform {
		list, err := c.NetworkingV1().NetworkPolicies(ns).List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		n += len(list.Items)
	}
	return n
}

func deletePolicies(ctx context.Context, c *kubernetes.Clientset) {
	for _, ns := range platform {
		Expect(c.NetworkingV1().NetworkPolicies(ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
	}
}

// expectNothingLeft looks for anything of a run: objects, labels, probe pods.
func expectNothingLeft(ctx context.Context, c *kubernetes.Clientset) {
	var left []string
	policies, err := c.NetworkingV1().NetworkPolicies(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
	Expect(err).NotTo(HaveOccurred())
	for _, p := range policies.Items {
		left = append(left, describePolicy(p))
	}
	Eventually(func(g Gomega) {
		pods, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		for _, p := range pods.Items {
			g.Expect(marks(p)).To(BeEmpty(), "pod %s/%s", p.Namespace, p.Name)
		}
	}).WithTimeout(20 * time.Second).Should(Succeed()) // a deleted pod is listed until its grace is over
	Expect(left).To(BeEmpty())
}

func describePolicy(p networkingv1.NetworkPolicy) string {
	return fmt.Sprintf("policy %s/%s %v", p.Namespace, p.Name, p.Labels)
}

func marks(p corev1.Pod) []string {
	var out []string
	for key := range p.Labels {
		if strings.HasPrefix(key, "tightrope.dev/") {
			out = append(out, key)
		}
	}
	return out
}
