package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// cluster is a lab with pods that can be asked to try things.
type cluster struct {
	t      *testing.T
	bin    string
	lab    *lab.Lab
	config *rest.Config
	api    kubernetes.Interface
}

const peerImage = "tightrope.dev/test/peer"

// startCluster brings up a lab of the name, with two nodes and both address
// families, that ends with the test.
func startCluster(t *testing.T, name, dataplane string) *cluster {
	t.Helper()
	bin := binaries(t)
	place(t)
	l, err := lab.Up(deadline(t), lab.Options{Name: name, Nodes: 2, Families: "IPv4,IPv6", Dataplane: dataplane, Labd: filepath.Join(bin, "labd"),
		Images: map[string]string{peerImage: podProgram(t, "testdata", "peer")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Err(); err != nil {
			t.Errorf("the lab ended by itself: %v", err)
		}
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t, bin, l, config, api}
}

func deadline(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	return ctx
}

// peers makes a pod called NODE-NAME of each name on each node, and waits for all.
func (c *cluster) peers(names ...string) {
	c.t.Helper()
	for _, node := range []string{"node-1", "node-2"} {
		for _, name := range names {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name + "-" + node, Labels: map[string]string{"app": name, "on": node}},
				Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: peerImage,
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: portOf(8080)}}}}}}}
			if _, err := c.api.CoreV1().Pods("default").Create(deadline(c.t), pod, metav1.CreateOptions{}); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	kubectl(c.t, c.bin, c.lab.Kubeconfig(), "", "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
}

func (c *cluster) address(pod string) string {
	c.t.Helper()
	p, err := c.api.CoreV1().Pods("default").Get(deadline(c.t), pod, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Status.PodIP + ":4000"
}

// ask has a pod do something, by way of the API server.
func (c *cluster) ask(pod, what string, args ...string) string {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		values.Set(args[i], args[i+1])
	}
	ctx, stop := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer stop()
	r := c.api.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Name(pod + ":8080").SubResource("proxy").Suffix(what)
	for key := range values {
		r = r.Param(key, values.Get(key))
	}
	b, err := r.DoRaw(ctx)
	if err != nil {
		return "no answer: " + err.Error()
	}
	return string(b)
}

// wants asks until the answer is the wanted one, and fails when it stays another.
func (c *cluster) wants(want, pod, what string, args ...string) {
	c.t.Helper()
	var got string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = c.ask(pod, what, args...); got == want {
			return
		}
	}
	c.t.Errorf("%s %s %v: got %q, want %q", pod, what, args, got, want)
}

// atOnce wants one answer, now.
func (c *cluster) atOnce(want, pod, what string, args ...string) {
	c.t.Helper()
	if got := c.ask(pod, what, args...); got != want {
		c.t.Errorf("%s %s %v: got %q, want %q", pod, what, args, got, want)
	}
}

// hold puts a fault into effect until undo is called.
func (c *cluster) hold(f lab.Fault) (undo func()) {
	c.t.Helper()
	began := time.Now()
	h, err := c.lab.Hold(deadline(c.t), f)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%s: in effect after %v", h.Text, time.Since(began).Round(time.Millisecond))
	held, err := lab.Faults(deadline(c.t), c.name())
	if err != nil || len(held) != 1 || held[0].Text != h.Text || held[0].State != "" {
		c.t.Errorf("faults in effect: %+v, %v", held, err)
	}
	return func() {
		c.t.Helper()
		began := time.Now()
		if err := h.Undo(deadline(c.t)); err != nil {
			c.t.Fatal(err)
		}
		c.t.Logf("%s: undone after %v", h.Text, time.Since(began).Round(time.Millisecond))
		if held, err := lab.Faults(deadline(c.t), c.name()); err != nil || len(held) != 0 {
			c.t.Errorf("faults left: %+v, %v", held, err)
		}
	}
}

func (c *cluster) name() string { return filepath.Base(filepath.Dir(c.lab.Kubeconfig())) }

// client is another one, with limits of its own.
func (c *cluster) client(change func(*rest.Config)) *kubernetes.Clientset {
	c.t.Helper()
	config := rest.CopyConfig(c.config)
	change(config)
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return api
}

func status(err error) string {
	var s apierrors.APIStatus
	if err == nil {
		return "ok"
	}
	if s, _ = err.(apierrors.APIStatus); s != nil {
		b, _ := json.Marshal(s.Status().Code)
		return string(b)
	}
	return strings.ToLower(fmt.Sprint(err))
}
