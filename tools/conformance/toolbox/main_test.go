package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes this binary a toolbox when it is called as a tool.
func TestMain(m *testing.M) {
	if tools[filepath.Base(os.Args[0])] != nil {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs a script in a folder whose programs are this toolbox.
func run(t *testing.T, script string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := install([]string{dir}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "sh"), "-c", script)
	cmd.Env, cmd.Dir = []string{"PATH=" + dir, "WHO=me"}, dir
	out, err := cmd.Output()
	return string(out), err
}

func TestScriptsOfTheTestsRun(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pod-1") }))
	defer web.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	go func() {
		for conn, err := tcp.Accept(); err == nil; conn, err = tcp.Accept() {
			_, _ = io.WriteString(conn, "pod-2\n")
			conn.Close()
		}
	}()
	host, port, _ := net.SplitHostPort(tcp.Addr().String())
	for script, want := range map[string]string{
		"for i in $(seq 0 2); do echo; curl -q -s --connect-timeout 2 --max-time 60 " + web.URL + "/ ; done": "\npod-1\npod-1\npod-1",
		"echo hostName | nc -v -t -w 2 " + host + " " + port:                                                 "pod-2\n",
		`check="$(seq 1 1)" && test -n "$check" && echo OK > r; cat r`:                                       "OK\n",
		`curl -s -o /dev/null -w "%{http_code}" --max-time 5 ` + web.URL:                                     "200",
		`test -n "$(getent hosts localhost)" && echo OK`:                                                     "OK\n",
		"env":                    "WHO=me\n",
		"sleep 0.01; echo alive": "alive\n",
	} {
		if got, err := run(t, script); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v; want %q", script, got, err, want)
		}
	}
}

func TestFailuresShow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	host, port, _ := net.SplitHostPort(closed)
	for _, script := range []string{"curl -s http://" + closed, "echo x | nc -w 1 " + host + " " + port, "exit 3", "no-such-program", "echo x | nc -u -w 1 " + host + " " + port} {
		if out, err := run(t, script); err == nil {
			t.Errorf("%s succeeded: %q", script, out)
		}
	}
}
