package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// controllerPorts are all that the controller listens on: health, for the kubelet, and
// metrics, for whoever may read them.
var controllerPorts = []int{8081, 8443}

// The controller's metrics are for whoever has a token that the API server knows and the
// right to get them. Nothing else of it listens, and nothing profiles it.
func TestMetricsAreForWhoMayReadThem(t *testing.T) {
	config := sharedLab(t)
	uninstalled(t, config)
	t.Cleanup(func() { uninstalled(t, config) })
	if code, out, errs := managed(t, config, "install", "--single-tenant"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	c := clientOf(t, config)
	list, err := c.CoreV1().Pods(v1alpha1.SystemNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=tightrope-controller"})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d pods of the controller: %v", len(list.Items), err)
	}
	pod := list.Items[0].Name
	if got := listening(t, &list.Items[0]); !slices.Equal(got, controllerPorts) {
		t.Errorf("the controller listens on %v, want %v", got, controllerPorts)
	}
	stranger, scraper := token(t, config, "stranger"), token(t, config, "scraper")
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "scraper"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tightrope-metrics-reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "scraper"}}}
	if _, err := c.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kubectlOn(t, config, "", "delete", "clusterrolebinding", "scraper") })
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:default:scraper",
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"}}}
	for allowed := false; !allowed; { // the controller remembers a refusal for a while, so it is asked afterwards
		now, err := c.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		allowed = now.Status.Allowed
	}
	forwarded := forward(t, config, pod)
	for _, tt := range []struct {
		name, path, token string
		port, code        int
	}{
		{"without a token", "/metrics", "", 8443, http.StatusUnauthorized},
		{"with a token that nobody gave", "/metrics", "x.y.z", 8443, http.StatusInternalServerError}, // controller-runtime says no this way
		{"without the right", "/metrics", stranger, 8443, http.StatusForbidden},
		{"with the right", "/metrics", scraper, 8443, http.StatusOK},
		{"profiles", "/debug/pprof/", scraper, 8443, http.StatusNotFound},
		{"profiles where health is", "/debug/pprof/", "", 8081, http.StatusNotFound},
		{"metrics where health is", "/metrics", scraper, 8081, http.StatusNotFound},
	} {
		if code, body := fetched(t, forwarded[tt.port], tt.port == 8443, tt.path, tt.token); code != tt.code || code == http.StatusOK && !strings.Contains(body, "\ngo_goroutines ") {
			t.Errorf("%s: %d, want %d: %.200s", tt.name, code, tt.code, body)
		}
	}
}

// token is that of an account of its own.
func token(t *testing.T, config, name string) string {
	t.Helper()
	c := clientOf(t, config).CoreV1().ServiceAccounts("default")
	if _, err := c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kubectlOn(t, config, "", "-n", "default", "delete", "serviceaccount", name) })
	got, err := c.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

// listening are the ports on which something in the controller's pod listens for TCP, by
// the kernel's word, sorted. The lab's pods are processes of whoever started the lab.
func listening(t *testing.T, pod *corev1.Pod) []int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		if env, err := os.ReadFile(name); err == nil && strings.Contains(string(env), "POD_UID="+string(pod.UID)+"\x00") {
			return sockets(t, filepath.Dir(name))
		}
	}
	t.Fatalf("no process is that of pod %s", pod.Name)
	return nil
}

func sockets(t *testing.T, process string) []int {
	t.Helper()
	var ports []int
	for _, table := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile(filepath.Join(process, "net", table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line) // sl local_address rem_address st …, where 0A is LISTEN
			if len(f) < 4 || f[3] != "0A" {
				continue
			}
			port, err := strconv.ParseInt(f[1][strings.LastIndexByte(f[1], ':')+1:], 16, 32)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			ports = append(ports, int(port))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

var forwarding = regexp.MustCompile(`^Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)`)

// forward leads to the controller's ports, for the time of the test.
func forward(t *testing.T, config, pod string) map[int]int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, binary(t, "labd"), "kubectl", "--kubeconfig", config, "-n", v1alpha1.SystemNamespace, "port-forward", "--address=127.0.0.1", "pod/"+pod, ":8443", ":8081")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it ends by our signal
	})
	to := map[int]int{}
	for lines := bufio.NewScanner(out); len(to) < len(controllerPorts) && lines.Scan(); {
		if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
			here, _ := strconv.Atoi(m[1]) // digits, by the expression
			there, _ := strconv.Atoi(m[2])
			to[there] = here
		}
	}
	if len(to) != len(controllerPorts) {
		t.Fatalf("forwarded are %v", to)
	}
	return to
}

// fetched asks for a path, and does not check whom.
func fetched(t *testing.T, port int, secure bool, path, token string) (int, string) {
	t.Helper()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
