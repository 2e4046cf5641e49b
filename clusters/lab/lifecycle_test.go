package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// until waits for an object to have a value, or any where want is empty. kubectl
// watches, it does not poll.
func (l *podLab) until(object, jsonpath, want string) {
	l.t.Helper()
	if want != "" {
		jsonpath += "=" + want
	}
	if said, code := l.try("wait", object, "--for=jsonpath="+jsonpath, "--timeout=90s"); code != 0 {
		l.t.Fatalf("%s: not so: %s: %s\n%s", object, jsonpath, said, l.kubectl("", "describe", object))
	}
}

func (l *podLab) get(object, jsonpath string) string {
	l.t.Helper()
	return l.kubectl("", "get", object, "-o", "jsonpath="+jsonpath)
}

func (l *podLab) apply(manifest string) {
	l.t.Helper()
	l.kubectl(manifest, "apply", "-f", "-")
}

const lifecycles = `
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data: {one: "1", two: "2"}
---
apiVersion: v1
kind: Pod
metadata: {name: never}
spec:
  restartPolicy: Never
  containers: [{name: c, image: test/probe, args: [write, /dev/termination-log, last words]}]
---
apiVersion: v1
kind: Pod
metadata: {name: onfailure}
spec:
  restartPolicy: OnFailure
  containers: [{name: c, image: test/probe, args: [exit, "3"], terminationMessagePolicy: FallbackToLogsOnError}]
---
apiVersion: v1
kind: Pod
metadata: {name: ordered, annotations: {note: noted}}
spec:
  terminationGracePeriodSeconds: 30
  hostname: named
  subdomain: group
  hostAliases: [{ip: 10.1.2.3, hostnames: [alias.example]}]
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: files, configMap: {name: files}}
  - {name: self, downwardAPI: {items: [{path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}]}}
  initContainers:
  - {name: first, image: test/probe, args: [write, /shared/first, done], volumeMounts: [{name: shared, mountPath: /shared}]}
  - name: sidecar
    image: test/probe
    restartPolicy: Always
    args: [serve, "127.0.0.1:9000"]
    startupProbe: {exec: {command: [/probe, dial, "127.0.0.1:9000"]}, periodSeconds: 1}
  containers:
  - name: main
    image: test/probe
    args: [term]
    env: [{name: COLOR, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts:
    - {name: shared, mountPath: /shared}
    - {name: files, mountPath: /etc/one, subPath: one}
    - {name: shared, mountPath: /own, subPath: own}
    - {name: self, mountPath: /self}
    readinessProbe: {exec: {command: [/probe, dial, "127.0.0.1:9000"]}, periodSeconds: 1}
    lifecycle:
      postStart: {exec: {command: [/probe, write, /shared/poststart, done]}}
      preStop: {exec: {command: [/probe, write, /shared/prestop, done]}}
  - {name: other, image: test/probe, args: [deaf], volumeMounts: [{name: shared, mountPath: /shared}]}
---
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/probe
    args: [term]
    livenessProbe: {exec: {command: [/probe, exit, "1"]}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: unmapped}
spec: {containers: [{name: c, image: "registry.example/nginx:1.29"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  containers: [{name: c, image: test/probe, args: [serve, ":7000"], ports: [{containerPort: 7000}], readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  securityContext: {runAsUser: 999, runAsGroup: 50, runAsNonRoot: true}
  containers: [{name: c, image: test/probe, args: [deaf]}]
`

func podLifecycles(l *podLab) {
	t := l.t
	l.apply(lifecycles)

	l.until("pod/never", "{.status.phase}", "Succeeded")
	if got := l.get("pod/never", "{.status.containerStatuses[0].state.terminated.message}"); got != "last words" {
		t.Errorf("termination message %q", got)
	}
	l.until("pod/sick", "{.status.containerStatuses[0].lastState.terminated.reason}", "Completed")
	if got := l.kubectl("", "logs", "--previous", "sick"); !strings.HasSuffix(got, "asked to end\n") {
		t.Errorf("the previous container's log is %q", got)
	}
	l.until("pod/onfailure", "{.status.containerStatuses[0].lastState.terminated.reason}", "Error")
	if got := l.get("pod/onfailure", "{.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.message}"); got != "3 leaving with 3\n" {
		t.Errorf("the last end was %q", got)
	}
	l.until("pod/unmapped", "{.status.containerStatuses[0].state.waiting.reason}", "ImagePullBackOff")
	events := l.kubectl("", "get", "events", "--field-selector=involvedObject.name=unmapped", "-o", "jsonpath={.items[*].message}")
	for _, want := range []string{`no image "registry.example/nginx:1.29"`, "lab up --image registry.example/nginx=/path/of/program", "test/probe"} {
		if !strings.Contains(events, want) {
			t.Errorf("no %q in the events of a pod with an unmapped image: %s", want, events)
		}
	}
	l.until("pod/user", "{.status.phase}", "Running")
	if got := l.kubectl("", "exec", "user", "--", "probe", "look"); !strings.Contains(got, "uid 999 gid 50") {
		t.Errorf("runAsUser: %s", got)
	}
	l.until("pod/host", `{.status.conditions[?(@.type=="Ready")].status}`, "True")
	if ip := l.get("pod/host", "{.status.podIP}"); ip != l.get("node/"+l.get("pod/host", "{.spec.nodeName}"), `{.status.addresses[?(@.type=="InternalIP")].address}`) {
		t.Errorf("a pod on its node's network has the address %s", ip)
	}
	if got := l.kubectl("", "exec", "host", "--", "probe", "look", "/proc/net/tcp"); !strings.Contains(got, ":280A 00000000:0000 0A") {
		t.Errorf("nobody listens on the kubelet's port, 10250, where a pod on its node's network is: %s", got)
	}
	l.ordered()
	l.copies()
}

// ordered checks the pod that has everything, and how it ends.
func (l *podLab) ordered() {
	l.t.Helper()
	l.until("pod/ordered", `{.status.conditions[?(@.type=="Ready")].status}`, "True")
	got := l.kubectl("", "exec", "ordered", "-c", "other", "--", "probe", "look", "/shared/first", "/shared/poststart")
	got += l.kubectl("", "exec", "ordered", "-c", "main", "--", "probe", "look", "/etc/one", "/self/note", "/etc/hosts", "/shared/own")
	for _, want := range []string{`/shared/first = "done"`, `/shared/poststart = "done"`, `/etc/one = "1"`, `/self/note = "noted"`,
		"host named", `10.1.2.3\talias.example`, `named.group.` + l.namespace + `.svc.cluster.local\tnamed`,
		"color " + l.get("pod/ordered", "{.status.podIP}"), "/shared/own : <nil>"} {
		if !strings.Contains(got, want) {
			l.t.Errorf("no %q in\n%s", want, got)
		}
	}
	follow := l.command("logs", "-f", "ordered", "-c", "main")
	said, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	begun := time.Now()
	l.kubectl("", "delete", "pod", "ordered", "--grace-period=2", "--wait")
	waitForLine(l.t, said, "asked to end")
	_ = follow.Process.Kill()
	_ = follow.Wait()
	if took := time.Since(begun); took < 2*time.Second || took > 20*time.Second { // the other container is deaf
		l.t.Errorf("a pod with two seconds of grace ended in %v", took)
	}
}

// copies goes both ways with a file and a folder.
func (l *podLab) copies() {
	l.t.Helper()
	dir := l.t.TempDir()
	file := filepath.Join(dir, "in", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("copied ", 10_000)), 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.kubectl("", "cp", filepath.Join(dir, "in"), "user:/tmp")
	l.kubectl("", "cp", "user:/tmp/in/file", filepath.Join(dir, "out"))
	if b, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || len(b) != 70_000 {
		l.t.Errorf("%d bytes came back: %v", len(b), err)
	}
}
