package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// The namespaces of tightened-in-waves, in the order of its waves, and those that no
// wave is about.
var (
	waves  = []string{"storage", "inference", "product"}
	others = []string{"operations", "notebooks"}
)

// The order matters: each story puts the policies back that people wrote by hand, and
// the platform stays for all of them.
var _ = Describe("a rollout in waves", Ordered, func() {
	var kubeconfig string
	var clientset *kubernetes.Clientset

	BeforeAll(func() {
		kubeconfig = testenv.EnvConf().KubeconfigFile()
		cfg, err := restConfig(kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		clientset, err = kubernetes.NewForConfig(cfg)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) { deleteNamespaces(ctx, clientset, slices.Concat(waves, others)...) })
	})

	BeforeEach(func(ctx context.Context) {
		for _, ns := range waves {
			Expect(clientset.NetworkingV1().NetworkPolicies(ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
		}
	})

	AfterEach(func(ctx context.Context) { expectNothingLeft(ctx, clientset) })

	DescribeTable("takes back the wave that breaks something, and no other", func(ctx context.Context, scenario string, broken int) {
		var before map[string]map[string]string
		seen := map[string][]string{} // of each wave's messages
		rep, err := playFor(ctx, kubeconfig, scenario, holdLong, func(p scenarios.Progress) {
			if p.Step == "rollout" {
				before = policiesByNamespace(ctx, clientset)
			}
			if p.Status != nil && len(p.Status.Waves) > 0 {
				for _, w := range p.Status.Waves {
					if w.Run != "" {
						seen[w.Name] = append(seen[w.Name], string(w.Phase))
					}
				}
			}
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Unmet).To(BeEmpty())
		Expect(report.ExitCode(rep)).To(Equal(0), "the scenario expects it: %s", rep.Message)
		Expect(rep.Wave).To(Equal(&report.Wave{Name: waves[broken], Number: broken + 1, Of: 3}))

		after := policiesByNamespace(ctx, clientset)
		for i, ns := range waves {
			switch {
			case i < broken:
				Expect(seen[ns]).To(ContainElement("Committed"))
				Expect(after[ns]).NotTo(Equal(before[ns]), "wave %s was committed", ns)
				Expect(slices.Collect(maps.Keys(after[ns]))).To(ContainElement("default-deny"))
			case i == broken:
				Expect(after[ns]).To(Equal(before[ns]), "wave %s was taken back", ns)
			default:
				Expect(seen).NotTo(HaveKey(ns))
				Expect(after[ns]).To(Equal(before[ns]), "wave %s never began", ns)
			}
		}
		deleteRollout(ctx, kubeconfig, rolloutOf(rep))
	},
		Entry("the first", "testdata/wave-1-forgets.yaml", 0),
		Entry("the second", "testdata/wave-2-forgets.yaml", 1),
		Entry("the third", "testdata/wave-3-forgets.yaml", 2),
	)

	It("commits all three", func(ctx context.Context) {
		began := time.Now()
		rep, err := playFor(ctx, kubeconfig, "tightened-in-waves", holdLong, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(rep.Result).To(Equal("Committed"), rep.Message)
		Expect(rep.Wave).To(Equal(&report.Wave{Name: "product", Number: 3, Of: 3}))
		Expect(rep.Unmet).To(BeEmpty())
		for _, path := range rep.Paths { // the last wave leaves none to a later one
			Expect(path.Finding).To(Equal(report.Holds), "%s by %s: %s", path.Name, path.Via, path.Note)
		}
		GinkgoWriter.Printf("three waves took %v\n", time.Since(began).Round(time.Second))
		expectCallsSince(ctx, clientset, "product", "chat-api", began) // the stories before cut it on purpose
		expectPolicies(ctx, clientset, "storage", "default-deny", "vector-db", "feature-store")
		expectPolicies(ctx, clientset, "inference", "default-deny", "llm-gateway", "model")
		expectPolicies(ctx, clientset, "product", "default-deny", "chat-api", "rag-worker", "batch")
		deleteRollout(ctx, kubeconfig, "tightened-in-waves")
	})
})

// rolloutOf is the name of the rollout of a report.
func rolloutOf(rep *report.Report) string { return rep.Rollout[len("inference/"):] }

// policiesByNamespace holds each policy of the waves' namespaces as text, without what
// the API server alone counts up.
func policiesByNamespace(ctx context.Context, c *kubernetes.Clientset) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, ns := range waves {
		list, err := c.NetworkingV1().NetworkPolicies(ns).List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		all[ns] = map[string]string{}
		for _, np := range list.Items {
			raw, err := json.Marshal(networkingv1.NetworkPolicy{
				ObjectMeta: metav1.ObjectMeta{Name: np.Name, UID: np.UID, Labels: np.Labels, Annotations: np.Annotations}, Spec: np.Spec})
			Expect(err).NotTo(HaveOccurred())
			all[ns][np.Name] = string(raw)
		}
	}
	return all
}
