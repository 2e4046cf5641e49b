package lab_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Where Debian has the servers.
const (
	redisServer      = "/usr/bin/redis-server"
	postgresServer   = "/usr/lib/postgresql/*/bin/postgres"
	prometheusServer = "/usr/bin/prometheus"
)

// machine finds a program of a Debian package on this machine, or skips the test.
func machine(t *testing.T, debianPackage, pattern string) string {
	t.Helper()
	path := newest(t, pattern)
	if path == "" {
		t.Skipf("%s is not on this machine: apt-get install %s", pattern, debianPackage)
	}
	return path
}

// newest is the last of the files that a pattern finds, or empty.
func newest(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

const client = `{containers: [{name: c, image: machine/sh, args: ["-c", "sleep 3600"]}], terminationGracePeriodSeconds: 0}`

// realRedis and its two sisters run a Debian server in one pod, and that
// server's own client in another one, by the name of a Service.
func realRedis(l *podLab) {
	t := l.t
	machine(t, "redis-server", redisServer)
	cli := machine(t, "redis-tools", "/usr/bin/redis-cli")
	l.pod("redis", `{containers: [{name: c, image: redis, args: [--save, "", --protected-mode, "no"], readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}}]}`)
	l.kubectl("", "expose", "pod", "redis", "--port=6379")
	l.pod("client", client)
	redis := func(args ...string) string {
		t.Helper()
		return l.kubectl("", append([]string{"exec", "client", "--", cli, "-h", "redis"}, args...)...)
	}
	if got := redis("SET", "key", "value"); got != "OK\n" {
		t.Errorf("SET: %q", got)
	}
	if got := redis("GET", "key"); got != "value\n" {
		t.Errorf("GET: %q", got)
	}
	if got := redis("INFO", "server"); !strings.Contains(got, "executable:/usr/bin/redis-server") {
		t.Errorf("INFO: %s", got)
	}
}

const postgres = `
securityContext: {runAsUser: 999, runAsGroup: 999}
volumes:
- {name: data, emptyDir: {}}
- {name: config, configMap: {name: postgres}}
initContainers:
- name: initdb
  image: postgres
  command: [INITDB, -D, /data/pg, -U, admin, --no-locale, --encoding=UTF8, --auth=scram-sha-256, --pwfile=/config/password]
  volumeMounts: [{name: data, mountPath: /data}, {name: config, mountPath: /config}]
containers:
- name: c
  image: postgres
  args: [-D, /data/pg, -c, listen_addresses=*, -c, unix_socket_directories=/tmp, -c, hba_file=/config/hba]
  volumeMounts: [{name: data, mountPath: /data}, {name: config, mountPath: /config}]
  readinessProbe: {exec: {command: [ISREADY, -h, 127.0.0.1]}, periodSeconds: 1}
`

// PostgreSQL does not run as root: it is another user, by a user namespace.
func realPostgreSQL(l *podLab) {
	t := l.t
	bin := filepath.Dir(machine(t, "postgresql", postgresServer))
	l.kubectl("", "create", "configmap", "postgres", "--from-literal=hba=host all all 0.0.0.0/0 scram-sha-256", "--from-literal=password=secret")
	l.pod("postgres", strings.NewReplacer("INITDB", bin+"/initdb", "ISREADY", bin+"/pg_isready").Replace(postgres))
	l.kubectl("", "expose", "pod", "postgres", "--port=5432")
	l.pod("client", client)
	sql := func(password, statement string) (string, int) {
		t.Helper()
		return l.try("exec", "client", "--", "/usr/bin/env", "PGPASSWORD="+password, bin+"/psql", "-h", "postgres."+l.namespace+".svc", "-U", "admin", "-d", "postgres", "-tAc", statement)
	}
	if got, code := sql("secret", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n"); code != 0 {
		t.Fatalf("create a table: %s", got)
	}
	if got, _ := sql("secret", "SELECT sum(n), now() AT TIME ZONE 'Europe/Zurich' IS NOT NULL FROM t"); got != "500500|t\n" {
		t.Errorf("the sum is %q", got)
	}
	if got, code := sql("wrong", "SELECT 1"); code == 0 || !strings.Contains(got, "password authentication failed") {
		t.Errorf("a wrong password: %q", got)
	}
}

const prometheusConfig = `{global: {scrape_interval: 1s}, scrape_configs: [{job_name: self, static_configs: [{targets: ["prometheus:9090"]}]}]}`

const prometheus = `
securityContext: {runAsUser: 65534}
volumes:
- {name: data, emptyDir: {}}
- {name: config, configMap: {name: prometheus}}
containers:
- name: c
  image: prometheus
  args: [--config.file=/config/prometheus.yml, --storage.tsdb.path=/data]
  volumeMounts: [{name: data, mountPath: /data}, {name: config, mountPath: /config}]
  readinessProbe: {httpGet: {path: /-/ready, port: 9090}, periodSeconds: 1}
`

func realPrometheus(l *podLab) {
	t := l.t
	machine(t, "prometheus", prometheusServer)
	tool := machine(t, "prometheus", "/usr/bin/promtool")
	l.kubectl("", "create", "configmap", "prometheus", "--from-literal=prometheus.yml="+prometheusConfig)
	l.pod("prometheus", prometheus)
	l.kubectl("", "expose", "pod", "prometheus", "--port=9090")
	l.pod("client", client)
	var said string
	eventually(t, func() bool { // it scrapes itself, by its Service, every second
		said, _ = l.try("exec", "client", "--", tool, "query", "instant", "http://prometheus:9090", `up{job="self"}`)
		return strings.Contains(said, "=> 1 @")
	})
	t.Log(said)
}

func TestAMissingProgramIsNamed(t *testing.T) {
	bin := binaries(t)
	place(t)
	out, err := exec.Command(filepath.Join(bin, "tightrope"), "lab", "up", "--image", "x=/no/such/program").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "image x: /no/such/program is not an executable file") {
		t.Errorf("%v, %s", err, out)
	}
}
