package cri

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet/nstest"
)

func TestMain(m *testing.M) { nstest.MainWith(m, "../container/testdata/probe") }

// policies is a data plane that notes what it is told, and whether the pod's link
// was still down then.
type policies struct {
	err     error
	added   []netip.Addr
	early   bool // a pod's link was up before its policies were in place
	removed int
}

func (p *policies) AddPod(_ context.Context, _ Pod, a ...netip.Addr) error {
	links, _ := netlink.LinkList()
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "pod") && l.Attrs().Flags&1 != 0 {
			p.early = true
		}
	}
	p.added = append(p.added, a...)
	return p.err
}

func (p *policies) RemovePod(Pod) { p.removed++ }

// lab is a runtime with one image, whose program is container's probe.
type lab struct {
	*Runtime
	t   *testing.T
	net *policies
	dir string
	pod *runtimeapi.PodSandboxConfig
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "probe") // the image's name comes from it
	if err := os.Link(nstest.Program(t), bin); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, net: &policies{}, dir: dir}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.Runtime, err = New(Config{Dir: dir, PodCIDRs: []string{"10.244.1.0/24"}, Images: map[string]string{"x.dev/probe": bin}, Network: l.net, Init: "/proc/self/exe"})
	if err != nil {
		t.Fatal(err)
	}
	l.pod = &runtimeapi.PodSandboxConfig{Hostname: "p", LogDirectory: filepath.Join(dir, "logs"),
		Metadata: &runtimeapi.PodSandboxMetadata{Namespace: "ns", Name: "p", Uid: "u"}, Labels: map[string]string{"uid": "u"}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) runPod() string {
	l.t.Helper()
	id, err := l.RunPodSandbox(l.t.Context(), l.pod, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

func (l *lab) create(sandbox string, args ...string) string {
	l.t.Helper()
	id, err := l.CreateContainer(l.t.Context(), sandbox, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
		Image: &runtimeapi.ImageSpec{Image: "x.dev/probe"}, Args: args, LogPath: "c.log"}, l.pod)
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

func (l *lab) start(sandbox string, args ...string) string {
	l.t.Helper()
	id := l.create(sandbox, args...)
	if err := l.StartContainer(l.t.Context(), id); err != nil {
		l.t.Fatal(err)
	}
	return id
}

// ended waits for a container's end and returns its status.
func (l *lab) ended(id string) *runtimeapi.ContainerStatus {
	l.t.Helper()
	select {
	case <-l.find(id).exited:
	case <-time.After(10 * time.Second):
		l.t.Fatal("the container did not end")
	}
	st, err := l.ContainerStatus(l.t.Context(), id, false)
	if err != nil {
		l.t.Fatal(err)
	}
	return st.Status
}

// says waits until the log has a line, by looking at what the pump wrote.
func (l *lab) says(want string) {
	l.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		b, _ := os.ReadFile(filepath.Join(l.dir, "logs", "c.log"))
		if strings.Contains(string(b), want) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("no %q in the log:\n%s", want, b)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAnEndHasCodeReasonTimeAndLog(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	for _, tt := range []struct {
		args   []string
		code   int32
		reason string
	}{{[]string{"exit", "7"}, 7, "Error"}, {nil, 0, "Completed"}} {
		st := l.ended(l.start(pod, tt.args...))
		if st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != tt.code || st.Reason != tt.reason ||
			st.FinishedAt < st.StartedAt || st.StartedAt < st.CreatedAt {
			t.Errorf("%q: %v", tt.args, st)
		}
	}
	l.says("stderr F leaving with 7\n")
}

func TestStopping(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	polite := l.start(pod, "term")
	l.says("waiting")
	if err := l.StopContainer(t.Context(), polite, 10); err != nil {
		t.Fatal(err)
	}
	if st := l.ended(polite); st.ExitCode != 0 {
		t.Errorf("asked to end: %v", st)
	}
	l.says("asked to end")
	deaf := l.start(pod, "deaf")
	l.says("not listening")
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := l.StopContainer(ctx, deaf, 1); err != nil {
		t.Fatal(err)
	}
	if st := l.ended(deaf); st.ExitCode != 137 || st.Reason != "Error" || time.Since(begun) < time.Second {
		t.Errorf("killed after %v: %v", time.Since(begun), st)
	}
}

func TestPoliciesComeBeforePackets(t *testing.T) {
	l := newLab(t)
	id := l.runPod()
	if len(l.net.added) != 1 || l.net.early {
		t.Fatalf("the data plane was told of %v; early: %v", l.net.added, l.net.early)
	}
	st, err := l.PodSandboxStatus(t.Context(), id, false)
	if err != nil || st.Status.Network.Ip != l.net.added[0].String() {
		t.Errorf("status %v, %v", st, err)
	}
	process := l.start(id, "deaf")
	if err := l.StopPodSandbox(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if st := l.ended(process); st.ExitCode != 137 {
		t.Errorf("a stopped pod's container: %v", st)
	}
	if l.net.removed != 1 {
		t.Errorf("RemovePod was called %d times", l.net.removed)
	}
}

func TestAPodWithoutPoliciesDoesNotStart(t *testing.T) {
	l := newLab(t)
	l.net.err = errors.New("not programmed")
	if _, err := l.RunPodSandbox(t.Context(), l.pod, ""); !errors.Is(err, l.net.err) {
		t.Fatalf("error %v", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, "pod") {
			t.Errorf("link %s was left behind", link.Attrs().Name)
		}
	}
	if list, _ := l.ListPodSandbox(t.Context(), nil); len(list) != 0 || l.net.removed != 1 {
		t.Errorf("left: %v; RemovePod %d times", list, l.net.removed)
	}
}

func TestACommandThatIsNotThere(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	id, err := l.CreateContainer(t.Context(), pod, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
		Image: &runtimeapi.ImageSpec{Image: "x.dev/probe"}, Command: []string{"sh"}, LogPath: "c.log"}, l.pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.StartContainer(t.Context(), id); err == nil || !strings.Contains(err.Error(), "no shell") {
		t.Errorf("start: %v", err)
	}
	if st := l.ended(id); st.ExitCode != startErrorCode || st.Reason != "StartError" || st.Message == "" {
		t.Errorf("status %v", st)
	}
	if err := l.StartContainer(t.Context(), id); err == nil {
		t.Error("it could be started a second time")
	}
}

func TestFiltersAndForgetting(t *testing.T) {
	l := newLab(t)
	pod := l.runPod()
	a, b := l.start(pod, "deaf"), l.create(pod, "deaf")
	count := func(f *runtimeapi.ContainerFilter) int {
		list, err := l.ListContainers(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	running := &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}
	for want, f := range map[int]*runtimeapi.ContainerFilter{2: nil, 1: {State: running}, 0: {PodSandboxId: "other"}} {
		if got := count(f); got != want {
			t.Errorf("%v: %d containers, want %d", f, got, want)
		}
	}
	if sandboxes, _ := l.ListPodSandbox(t.Context(), &runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"uid": "v"}}); len(sandboxes) != 0 {
		t.Errorf("a label that no pod has: %v", sandboxes)
	}
	for _, id := range []string{a, b, "unknown"} {
		if err := l.RemoveContainer(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := count(nil); got != 0 {
		t.Errorf("%d containers after removal", got)
	}
	if _, err := l.ContainerStatus(t.Context(), a, false); err == nil {
		t.Error("a removed container has a status")
	}
}

func TestEveryStartAndEndIsAnnounced(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch := make(chan *runtimeapi.ContainerEventResponse, 10)
	connected, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- l.GetContainerEvents(ctx, ch, func(runtimeapi.RuntimeService_GetContainerEventsClient) { close(connected) })
	}()
	<-connected
	id := l.start(l.runPod(), "exit", "0")
	for range 2 {
		if e := <-ch; e.ContainerId != id || e.PodSandboxStatus.GetMetadata().GetUid() != "u" {
			t.Errorf("event %v", e)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("events ended with %v", err)
	}
}

func TestALogFollowsItsRotation(t *testing.T) {
	l := newLab(t)
	id := l.start(l.runPod(), "term")
	l.says("waiting")
	log := filepath.Join(l.dir, "logs", "c.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.ReopenContainerLog(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := l.StopContainer(t.Context(), id, 10); err != nil {
		t.Fatal(err)
	}
	l.says("asked to end")
	if old, _ := os.ReadFile(log + ".1"); strings.Contains(string(old), "asked") {
		t.Error("the old file was still written to")
	}
	if err := l.ReopenContainerLog(t.Context(), id); err == nil {
		t.Error("an ended container's log was opened again")
	}
}
