package lab_test

import (
	"fmt"
	"strings"
)

const workloads = `
apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec:
  completions: 3
  parallelism: 2
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: test/probe, args: [echo, worked]}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: hopeless}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: test/probe, args: [exit, "1"]}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: test/probe, args: [echo, ticked]}]}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec: {containers: [{name: c, image: test/probe, args: [term]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: c, image: test/probe, args: [serve, ":5432"], readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}}
`

func controllersRunTheirPods(l *podLab) {
	t := l.t
	l.apply(workloads)
	l.until("job/job", "{.status.succeeded}", "3")
	if got := l.kubectl("", "logs", "job/job"); !strings.HasSuffix(got, "\nworked\n") { // first it says which pod it chose
		t.Errorf("the job said %q", got)
	}
	l.until("job/hopeless", `{.status.conditions[?(@.type=="Failed")].status}`, "True")
	l.kubectl("", "rollout", "status", "daemonset/everywhere", "--timeout=60s")
	if got := strings.Fields(l.get("pods", `{.items[?(@.metadata.labels.app=="everywhere")].spec.nodeName}`)); len(got) != 2 || got[0] == got[1] {
		t.Errorf("the daemon set's pods are on %q", got)
	}
	l.kubectl("", "rollout", "status", "statefulset/db", "--timeout=60s")
	for earlier, later := range map[string]string{"db-0": "db-1", "db-1": "db-2"} {
		ready := l.get("pod/"+earlier, `{.status.conditions[?(@.type=="Ready")].lastTransitionTime}`)
		if created := l.get("pod/"+later, "{.metadata.creationTimestamp}"); created < ready {
			t.Errorf("%s was made at %s, and %s Ready at %s", later, created, earlier, ready)
		}
	}
	l.namesOfDB()
	l.kubectl("", "delete", "pod", "db-1", "--grace-period=1")
	l.kubectl("", "rollout", "status", "statefulset/db", "--timeout=60s")
	l.namesOfDB()
	l.kubectl("", "scale", "statefulset/db", "--replicas=1")
	l.kubectl("", "wait", "pod/db-2", "pod/db-1", "--for=delete", "--timeout=60s")
	l.until("cronjob/cron", "{.status.lastSuccessfulTime}", "") // any: the next full minute
}

// namesOfDB looks up each pod's own name, from another pod.
func (l *podLab) namesOfDB() {
	l.t.Helper()
	var want, names []string
	for _, pod := range []string{"db-0", "db-1", "db-2"} {
		name := pod + ".db." + l.namespace + ".svc.cluster.local"
		names = append(names, name)
		want = append(want, name+" "+l.get("pod/"+pod, "{.status.podIP}"))
	}
	l.kubectl("", "delete", "pod", "names", "--ignore-not-found", "--wait")
	l.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"names"},"spec":{"restartPolicy":"OnFailure","containers":[
{"name":"c","image":"tightrope.dev/lab/tools","args":["lookup","%s"]}]}}`, strings.Join(names, `","`)))
	l.until("pod/names", "{.status.phase}", "Succeeded")
	if got := strings.TrimSpace(l.kubectl("", "logs", "names")); got != strings.Join(want, "\n") {
		l.t.Errorf("the pods' names are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
