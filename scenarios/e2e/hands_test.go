package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// killController kills the controller's process the hard way and reports
// whether there was one.
func killController() bool { return kill9("controller") }

// kill9 does so with a process of a name. The lab's processes are ours, so they are in
// /proc; the test's own lab is the only one of this process's descendants.
func kill9(name string) bool {
	entries, err := os.ReadDir("/proc")
	Expect(err).NotTo(HaveOccurred())
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !descendant(pid) {
			continue
		}
		argv, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if string(argv) == name+"\n" {
			Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
			return true
		}
	}
	return false
}

// descendant reports whether a process comes from this one.
func descendant(pid int) bool {
	for pid > 1 {
		if pid == os.Getpid() {
			return true
		}
		pid = parent(pid)
	}
	return false
}

func parent(pid int) int {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// pid (comm) state ppid …; comm may hold anything but ends at the last parenthesis.
	end := len(raw) - 1
	for end > 0 && raw[end] != ')' {
		end--
	}
	var ppid int
	fields := 0
	for i := end + 2; i < len(raw); i++ {
		if raw[i] == ' ' {
			fields++
			continue
		}
		if fields == 1 {
			ppid = ppid*10 + int(raw[i]-'0')
		}
		if fields > 1 {
			break
		}
	}
	return ppid
}

// planned is what tightrope plan --live says: the plan's digest, what the controller
// would do, and why it would refuse.
type planned struct {
	Digest, Controller string
	Refusals           []string
}

// livePlan is what tightrope plan --live says of a scenario on a cluster. The exit code
// says what is predicted, which is nothing to this.
func livePlan(ctx context.Context, kubeconfig, scenario string) planned {
	var out, wrong bytes.Buffer
	c := exec.CommandContext(ctx, filepath.Join(os.Getenv("TIGHTROPE_BIN"), "tightrope"), "plan", scenario, "--live", "--kubeconfig", kubeconfig, "-o", "json")
	c.Stdout, c.Stderr = &out, &wrong
	_ = c.Run()
	var got struct{ Plans []planned }
	Expect(json.Unmarshal(out.Bytes(), &got)).To(Succeed(), wrong.String())
	Expect(got.Plans).To(HaveLen(1), wrong.String())
	return got.Plans[0]
}

// deleteRollout deletes a rollout and waits until its runs are gone, so that it
// can be tried again.
func deleteRollout(ctx context.Context, kubeconfig, name string) {
	cfg, err := restConfig(kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	client, err := dynamic.NewForConfig(cfg)
	Expect(err).NotTo(HaveOccurred())
	group := schema.GroupVersion{Group: "tightrope.dev", Version: "v1alpha1"}
	rollouts, err := client.Resource(group.WithResource("policyrollouts")).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	for _, ro := range rollouts.Items {
		if ro.GetName() == name {
			err := client.Resource(group.WithResource("policyrollouts")).Namespace(ro.GetNamespace()).Delete(ctx, name, metav1.DeleteOptions{})
			Expect(err == nil || apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
		}
	}
	Eventually(func(g Gomega) {
		runs, err := client.Resource(group.WithResource("policyrolloutruns")).List(ctx, metav1.ListOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		for _, run := range runs.Items {
			g.Expect(run.GetName()).NotTo(HavePrefix(name))
		}
	}).WithTimeout(60 * 1e9).Should(Succeed())
}

// policyCounters adds up what the kernel of every node counted for policies.
func policyCounters(ctx context.Context, c *kubernetes.Clientset) (allowed, denied uint64) {
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(nodes.Items).NotTo(BeEmpty())
	for _, node := range nodes.Items {
		raw, err := c.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/http:" + node.Name + ":10260/proxy/counters").DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
		var reading struct {
			Counters []struct{ Allowed, Denied uint64 }
		}
		Expect(json.Unmarshal(raw, &reading)).To(Succeed())
		for _, x := range reading.Counters {
			allowed += x.Allowed
			denied += x.Denied
		}
	}
	return allowed, denied
}
