package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

const (
	// runWithin bounds one run; then it is aborted.
	runWithin = 8 * time.Minute
	// gatewayForgotDNS is what every cut of the bad set must come from.
	gatewayForgotDNS = "ai/llm-gateway egress: no rule allows 53/"
)

// TestBesideBusyProcesses rolls a good and a bad set of policies out again and
// again on one lab, beside processes that take the processors away. `make busy`
// runs it and leaves a recording of each run in reports/busy; those that show
// something are kept in testdata/recorded.
func TestBesideBusyProcesses(t *testing.T) {
	if os.Getenv("TIGHTROPE_BUSY") == "" {
		t.Skip("TIGHTROPE_BUSY is not set: make busy runs it, and takes the processors away for a quarter of an hour")
	}
	busy, runs := number(t, "TIGHTROPE_BUSY"), number(t, "TIGHTROPE_BUSY_RUNS")
	m := startMachine(t, os.Getenv("TIGHTROPE_BUSY_REPORT"))
	m.busy = busy
	keepBusy(t, busy)
	t.Logf("%d processors, %d busy processes, each in a session of its own; autogroup %s, load %s", runtime.NumCPU(), busy,
		firstLine("/proc/sys/kernel/sched_autogroup_enabled"), firstLine("/proc/loadavg"))
	var good, bad []*report.Report
	for i := 1; i <= runs; i++ {
		good = append(good, m.run(t, i, "zero-trust-ai-platform"))
		bad = append(bad, m.run(t, i, "gw-forgot-dns"))
	}
	most := runs - runs/5
	if n, falsely := ended(good, "Committed"), ended(good, "RolledBack")+ended(good, "RollbackFailed"); n < most || falsely > 0 {
		t.Errorf("the good set: %d of %d committed, %d rolled back; want at least %d, and none", n, runs, falsely, most)
	} else {
		t.Logf("the good set: %d of %d committed, none rolled back", n, runs)
	}
	n, other := ended(bad, "RolledBack"), 0
	for _, rep := range bad {
		if rep == nil || rep.Result != "Inconclusive" && (rep.Result != "RolledBack" || len(wrongCuts(rep)) > 0 || len(rep.Cuts) == 0) {
			other++
		}
	}
	if n < most || other > 0 {
		t.Errorf("the bad set: %d of %d rolled back, %d ended otherwise or by another rule; want at least %d, and none", n, runs, other, most)
	} else {
		t.Logf("the bad set: %d of %d rolled back, all by the right rule", n, runs)
	}
}

// number reads a count from the environment.
func number(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func firstLine(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "not known"
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return line
}

func ended(reports []*report.Report, result string) (n int) {
	for _, rep := range reports {
		if rep != nil && rep.Result == result {
			n++
		}
	}
	return n
}

// wrongCuts lists the cuts of the bad set that are not what is wrong with it.
func wrongCuts(rep *report.Report) []report.Cut {
	return slices.DeleteFunc(slices.Clone(rep.Cuts), func(c report.Cut) bool { return strings.HasPrefix(c.Rule, gatewayForgotDNS) })
}

// keepBusy starts processes of normal priority that never wait. Each is a session
// of its own, so that a kernel that shares the processors among sessions gives
// each as much as it gives a whole lab. They end with the test, and with the
// thread that started them, should it be killed.
func keepBusy(t *testing.T, n int) {
	started, over, gone := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		runtime.LockOSThread() // the kernel ends them when this thread ends
		var loops []*exec.Cmd
		var err error
		for range n {
			c := exec.Command("/bin/sh", "-c", "while :; do :; done")
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
			if err = c.Start(); err != nil {
				break
			}
			loops = append(loops, c)
		}
		started <- err
		<-over
		for _, c := range loops {
			_ = c.Process.Kill()
			_ = c.Wait() // it was killed
		}
	}()
	t.Cleanup(func() { close(over); <-gone })
	if err := <-started; err != nil {
		t.Fatal(err)
	}
}

// machine is one lab on which scenarios run one after the other.
type machine struct {
	lab    *lab.Lab
	client client.WithWatch
	logs   pods.LogReader
	folder string // for recordings; empty: none are kept
	busy   int
}

func startMachine(t *testing.T, folder string) *machine {
	bin, err := filepath.Abs(os.Getenv("TIGHTROPE_BIN"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	images := map[string]string{}
	for _, name := range []string{"agent", "controller", "twin", "standin"} {
		images["tightrope.dev/"+name] = filepath.Join(bin, name)
	}
	m := &machine{folder: folder}
	m.lab, err = lab.Up(t.Context(), lab.Options{Name: fmt.Sprintf("busy-%d", os.Getpid()), Nodes: 2, Dataplane: "enforce", Labd: filepath.Join(bin, "labd"), Images: images})
	must(err)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := m.lab.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	cfg, err := clientcmd.BuildConfigFromFlags("", m.lab.Kubeconfig())
	must(err)
	cfg.QPS = -1
	m.client, err = client.NewWithWatch(cfg, client.Options{Scheme: testScheme()})
	must(err)
	clientset, err := kubernetes.NewForConfig(cfg)
	must(err)
	m.logs = pods.Logs{Client: clientset}
	if folder != "" {
		must(os.MkdirAll(folder, 0o755))
	}
	return m
}

// run runs a scenario, says how it went, keeps its recording, and takes away what
// it leaves. It returns nil for a run without a report.
func (m *machine) run(t *testing.T, n int, name string) *report.Report {
	s, err := scenarios.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", m.lab.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	began := time.Now()
	recorder := startRecorder(t.Context(), m.client, m.logs)
	ctx, stop := context.WithTimeout(t.Context(), runWithin)
	rep, err := scenarios.Run(ctx, s, scenarios.Options{Config: cfg, Cluster: "lab", Deploy: deploy.Options{DropsPort: lab.CounterPort, SingleTenant: true}})
	stop()
	took := time.Since(began)
	rec, badly := recorder.end()
	m.clean(t, s)
	if rep == nil {
		t.Errorf("| %d | %s | no report | %v | %.0f s |", n, name, err, took.Seconds())
		return nil
	}
	t.Logf("| %d | %s | %s %s, exit %d | %s | %.0f s: %s |", n, name, rep.Result, rep.Cause, report.ExitCode(rep), firstRule(rep), took.Seconds(), phases(rep))
	for _, c := range rep.Cuts {
		if name == "zero-trust-ai-platform" || !strings.HasPrefix(c.Rule, gatewayForgotDNS) {
			t.Logf("  cut: %+v", c)
		}
	}
	if rep.Result == "Inconclusive" {
		t.Logf("  %s", rep.Message)
	}
	if badly != nil {
		t.Logf("  not recorded: %v", badly)
		return rep
	}
	rec.Scenario, rec.Busy, rec.Result, rec.Message = name, m.busy, rep.Result, rep.Message
	if m.folder != "" {
		if err := rec.save(filepath.Join(m.folder, fmt.Sprintf("%s-%d-busy-%d.json.gz", name, m.busy, n))); err != nil {
			t.Error(err)
		}
	}
	return rep
}

// firstRule is what the first cut was blamed on; a dash: nothing was cut.
func firstRule(rep *report.Report) string {
	if len(rep.Cuts) > 0 {
		return rep.Cuts[0].Rule
	}
	return "–"
}

// phases says how long each phase took.
func phases(rep *report.Report) string {
	var out []string
	for _, p := range rep.Phases {
		out = append(out, fmt.Sprintf("%s %.1f", p.Name, p.To.Sub(p.From).Seconds()))
	}
	return strings.Join(out, ", ")
}

// clean takes a scenario's rollout and its policies away, and waits until the
// controller has tidied up, so that the next run finds the platform as before.
func (m *machine) clean(t *testing.T, s *scenarios.Scenario) {
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	ro := s.Rollout()
	if err := client.IgnoreNotFound(m.client.Delete(ctx, ro)); err != nil {
		t.Fatal(err)
	}
	for {
		var left v1alpha1.PolicyRolloutRunList
		err := m.client.List(ctx, &left)
		if err == nil && len(left.Items) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d runs are left: %v", len(left.Items), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	for _, p := range ro.Spec.Policies.Inline {
		np := &networkingv1.NetworkPolicy{}
		np.Namespace, np.Name = p.Namespace, p.Name
		if err := client.IgnoreNotFound(m.client.Delete(ctx, np)); err != nil {
			t.Fatal(err)
		}
	}
}
