package kind

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// docker puts a program of that name, and no other one, onto the path. ps is what it
// lists; more is what it does besides, in words of a shell.
func docker(t *testing.T, ps, more string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	script := "#!/bin/sh\necho \"$*\" >>" + folder + "/asked\ncase \"$*\" in\n-v) echo Docker version 99 ;;\nps*) " + ps + " ;;\n" + more + "\nesac\n"
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":/usr/bin:/bin")
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv(providerEnv, "")
	return folder
}

// told keeps what is said.
type told struct {
	mu   sync.Mutex
	all  []string
	seen chan string
}

func listen() *told { return &told{seen: make(chan string, 100)} }

func (l *told) say(line string) {
	l.mu.Lock()
	l.all = append(l.all, line)
	l.mu.Unlock()
	l.seen <- line
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// Docker's own words say what to do; kind's error alone is "exit status 1".
func TestWhatDockerSaysIsTold(t *testing.T) {
	docker(t, "echo Cannot connect to the Docker daemon >&2; exit 1", "")
	_, err := Open(t.Context(), Options{})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Cannot connect to the Docker daemon") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAnUnknownProviderIsRefused(t *testing.T) {
	docker(t, "", "")
	t.Setenv(providerEnv, "rkt")
	if _, err := Names(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "rkt") {
		t.Errorf("%v", err)
	}
}

// dead is the ID of a process that has ended.
func dead(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(cmd.Process.Pid)
}

// Whatever a killed process has left is named with what removes it. Its credentials
// go once the cluster is gone; those of a process that runs stay.
func TestWhatWasLeftIsNamedWithWhatRemovesIt(t *testing.T) {
	gone, before, mine := dead(t), dead(t), strconv.Itoa(os.Getpid())
	docker(t, "echo "+prefix+gone+"; echo "+prefix+mine+"; echo "+prefix+"x; echo somebodys", "")
	runs := strconv.Itoa(os.Getppid()) // and has no cluster yet
	for _, pid := range []string{gone, before, mine, runs} {
		folderLeftBy(t, pid)
	}
	heard := listen()
	c := &Cluster{o: Options{Progress: heard.say}, name: "mine"}
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.free(names); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kind cluster tightrope-" + gone + " is left of a run", "kind delete cluster --name tightrope-" + gone,
		"docker rm --force --volumes $(docker ps --all --quiet --filter label=io.x-k8s.kind.cluster=tightrope-" + gone + ")",
		"kind cluster tightrope-" + mine + " is in use by process " + mine,
	} {
		if !strings.Contains(heard.String(), want) {
			t.Errorf("no line has %q:\n%s", want, heard)
		}
	}
	if strings.Contains(heard.String(), "somebodys") || strings.Contains(heard.String(), prefix+"x") {
		t.Errorf("other people's clusters are told of:\n%s", heard)
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if len(left) != 3 || strings.Contains(strings.Join(left, " "), "-"+before+"-") {
		t.Errorf("folders %v, want those of %s, whose cluster is there, and of %s and %s, which run", left, gone, mine, runs)
	}
}

// folderLeftBy is a folder as a process of that ID leaves it.
func folderLeftBy(t *testing.T, pid string) string {
	t.Helper()
	made, err := folderOf()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(os.TempDir(), prefix+"kind-"+pid+"-1")
	if err := os.Rename(made, folder); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Whoever asks another Docker does not see a cluster that is there, and its kubeconfig
// may be the only one.
func TestCredentialsOfClustersThatMayBeThereStay(t *testing.T) {
	docker(t, "", "")
	gone := folderLeftBy(t, dead(t))
	c := &Cluster{o: Options{Keep: true}, name: "kept", folder: folderLeftBy(t, dead(t))}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	unmarked := filepath.Join(os.TempDir(), prefix+"kind-"+dead(t)+"-1")
	if err := os.Mkdir(unmarked, 0o700); err != nil {
		t.Fatal(err)
	}
	there := func(folder string) bool {
		_, err := os.Stat(folder)
		return err == nil
	}
	was := os.Getenv("DOCKER_HOST")
	t.Setenv("DOCKER_HOST", "tcp://elsewhere:2375")
	forget(nil)
	if !there(gone) {
		t.Error("another Docker was asked, and what is of the first is forgotten")
	}
	t.Setenv("DOCKER_HOST", was)
	t.Setenv(providerEnv, "podman")
	forget(nil)
	if !there(gone) {
		t.Error("another provider was asked, and what is of the first is forgotten")
	}
	t.Setenv(providerEnv, "")
	forget(nil)
	if there(gone) {
		t.Error("what is gone is not forgotten")
	}
	if !there(c.folder) || !there(unmarked) {
		t.Errorf("a cluster that was kept is forgotten, or one of which nothing is known: %v, %v", there(c.folder), there(unmarked))
	}
}

func TestANameThatIsTakenStays(t *testing.T) {
	folder := docker(t, "echo mine", "")
	_, err := Open(t.Context(), Options{Name: "mine"})
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "kind delete cluster --name mine") {
		t.Errorf("%v", err)
	}
	asked, _ := os.ReadFile(filepath.Join(folder, "asked"))
	if strings.Contains(string(asked), "rm ") {
		t.Errorf("it was deleted:\n%s", asked)
	}
}

// A pull may take minutes, and nothing is there yet that has to be deleted.
func TestAnInterruptionWhileTheImageIsPulledIsHeardAtOnce(t *testing.T) {
	folder := docker(t, "", "info*) echo '{}' ;;\ninspect*) exit 1 ;;\npull*) while [ ! -e "+t.TempDir()+"/never ]; do sleep 0.1; [ -d \"$TMPDIR\" ] || exit 1; done ;;\nrun*) echo made ;;")
	ctx, stop := context.WithCancelCause(t.Context())
	heard, done := listen(), make(chan error, 1)
	go func() {
		_, err := Open(ctx, Options{Progress: heard.say})
		done <- err
	}()
	for line := ""; !strings.Contains(line, pulling); {
		select {
		case line = <-heard.seen:
		case err := <-done:
			t.Fatalf("%v\n%s", err, heard)
		}
	}
	why := errors.New("somebody pressed Ctrl-C")
	stop(why)
	select {
	case err := <-done:
		if !errors.Is(err, why) {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for the pull")
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	asked, _ := os.ReadFile(filepath.Join(folder, "asked"))
	if strings.Contains(string(asked), "\nrun ") {
		t.Errorf("a node was made:\n%s", asked)
	}
}

// A creation that was stopped while it pulled never goes on to make nodes.
func TestAStoppedPullGoesNoFurther(t *testing.T) {
	var c creation
	c.says("Creating cluster")
	c.says(" • " + pulling + " (x)")
	if !c.stop() {
		t.Fatal("it pulls, and that is not known")
	}
	done := make(chan bool, 1)
	go func() {
		defer close(done)
		c.says(" ✓ " + pulling + " (x)")
		done <- true
	}()
	if <-done {
		t.Error("it goes on")
	}
	later := creation{}
	later.says(" • " + pulling + " (x)")
	later.says(" • Preparing nodes")
	if later.stop() {
		t.Error("nodes may be there, and are not deleted")
	}
	later.says(" • Writing configuration") // returns: kind ends when its containers are gone
}

func TestWithoutANetworkPluginThereIsAdvice(t *testing.T) {
	if got := advised("node a: NetworkReady=false message:cni plugin not initialized"); !strings.Contains(got, "--cluster current") {
		t.Error(got)
	}
	if got := advised("node a: kubelet stopped"); strings.Contains(got, "network") {
		t.Error(got)
	}
}

func TestWhatIsNotReadyIsNamed(t *testing.T) {
	node := func(name string, status corev1.ConditionStatus, says string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure}, {Type: corev1.NodeReady, Status: status, Message: says}}}}
	}
	dns := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "coredns"}}
	up := dns.DeepCopy()
	up.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
	stale := up.DeepCopy()
	stale.Generation = 2
	for name, tt := range map[string]struct {
		nodes []*corev1.Node
		dns   *appsv1.Deployment
		want  []string // parts, one of each; none: ready
	}{
		"all":               {[]*corev1.Node{node("a", corev1.ConditionTrue, ""), node("b", corev1.ConditionTrue, "")}, up, nil},
		"one has not come":  {[]*corev1.Node{node("a", corev1.ConditionTrue, "")}, up, []string{"1 of 2 nodes have joined"}},
		"no network plugin": {[]*corev1.Node{node("a", corev1.ConditionFalse, "cni plugin not initialized"), node("b", corev1.ConditionTrue, "")}, up, []string{"node a: cni plugin not initialized"}},
		"a silent node":     {[]*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, node("b", corev1.ConditionUnknown, "kubelet stopped")}, up, []string{"node a: it has not said", "node b: kubelet stopped"}},
		"no names yet":      {[]*corev1.Node{node("a", corev1.ConditionTrue, ""), node("b", corev1.ConditionTrue, "")}, dns, []string{"kube-system/coredns: it is not available"}},
		"a new deployment":  {[]*corev1.Node{node("a", corev1.ConditionTrue, ""), node("b", corev1.ConditionTrue, "")}, stale, []string{"kube-system/coredns: it is new"}},
	} {
		kube := fake.NewClientset(tt.dns)
		for _, n := range tt.nodes {
			if err := kube.Tracker().Add(n); err != nil {
				t.Fatal(err)
			}
		}
		got, err := unready(t.Context(), kube, 2)
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tt.want)
			continue
		}
		for i, part := range tt.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: %q, want %q", name, got[i], part)
			}
		}
	}
}
