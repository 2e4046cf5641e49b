package operator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what was counted up to a time, or between two.
type sample struct {
	at       time.Time
	took     time.Duration
	cpu      time.Duration // of the controller
	lines    int64
	requests map[string]float64 // by verb and resource
	writes   map[string]float64 // by resource
	bytes    map[string]float64 // of what was written, as etcd stores it
}

// since is what came after an earlier sample.
func (s sample) since(old sample) sample {
	d := s
	d.took, d.cpu, d.lines = s.at.Sub(old.at), s.cpu-old.cpu, s.lines-old.lines
	d.requests, d.writes, d.bytes = minus(s.requests, old.requests, 1), minus(s.writes, old.writes, 1), minus(s.bytes, old.bytes, 1)
	return d
}

// without takes away what happens without the controller, in the same time.
func (s sample) without(background sample) sample {
	share := s.took.Seconds() / background.took.Seconds()
	s.requests, s.writes, s.bytes = minus(s.requests, background.requests, share), minus(s.writes, background.writes, share), minus(s.bytes, background.bytes, share)
	return s
}

func minus(a, b map[string]float64, share float64) map[string]float64 {
	out := map[string]float64{}
	for key, n := range a {
		if left := n - share*b[key]; left > 0 {
			out[key] = left
		}
	}
	return out
}

func (s sample) total(of map[string]float64) (sum float64) {
	for _, n := range of {
		sum += n
	}
	return sum
}

// text lists what n runs cost, the most first.
func (s sample) text(n int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%.0f lines a second\n", float64(s.lines)/s.took.Seconds())
	for _, part := range []struct {
		what string
		of   map[string]float64
	}{{"requests", s.requests}, {"writes", s.writes}, {"bytes", s.bytes}} {
		keys := slices.SortedFunc(maps.Keys(part.of), func(a, b string) int { return int(100 * (part.of[b] - part.of[a])) })
		for _, key := range keys[:min(len(keys), 8)] {
			fmt.Fprintf(&out, "%s a second and run: %s %.3f\n", part.what, key, part.of[key]/s.took.Seconds()/float64(n))
		}
	}
	return out.String()
}

var requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} ([0-9.e+]+)$`)
var labelOf = regexp.MustCompile(`(\w+)="([^"]*)"`)

// sample reads the counters of the API server, of the kubelets and of the controller.
// Leases are left out: they are the nodes' and the controller's heartbeats.
func (a *arena) sample() sample {
	a.t.Helper()
	raw, err := a.kube.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	s := sample{at: time.Now(), cpu: a.processor(), requests: map[string]float64{}, writes: map[string]float64{}, bytes: map[string]float64{}}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		m := requestLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		labels := map[string]string{}
		for _, l := range labelOf.FindAllStringSubmatch(m[1], -1) {
			labels[l[1]] = l[2]
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil || labels["resource"] == "leases" || labels["resource"] == "" {
			continue
		}
		s.requests[strings.TrimSuffix(labels["verb"]+" "+labels["resource"]+"/"+labels["subresource"], "/")] += n
	}
	f := a.figures()
	s.lines = f.Lines
	for key, n := range f.Writes {
		s.writes[key] = float64(n)
	}
	for key, n := range f.Bytes {
		s.bytes[key] = float64(n)
	}
	return s
}

// figures are what the kubelets tell.
func (a *arena) figures() figures {
	a.t.Helper()
	raw, err := a.kube.CoreV1().RESTClient().Get().AbsPath(fmt.Sprintf("/api/v1/namespaces/%s/pods/kubelets:%d/proxy/figures", arenaSpace, kubeletFigures)).DoRaw(a.ctx)
	var f figures
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		a.t.Fatalf("the kubelets' figures: %v", err)
	}
	return f
}

// processor is the time that the controller has used; 0: it does not run.
func (a *arena) processor() time.Duration {
	if a.controller == nil {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.controller.Process.Pid))
	if err != nil {
		a.t.Fatalf("the controller has ended: %v; its log is %s", err, a.log)
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a tick is a hundredth of a second on every Linux that Go runs on
}

// memory of the controller, in MiB.
type memory struct{ now, peak int }

func (a *arena) memory() memory {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.controller.Process.Pid))
	if err != nil {
		a.t.Fatal(err)
	}
	var m memory
	for line := range strings.Lines(string(raw)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			m.now = kib >> 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			m.peak = kib >> 10
		}
	}
	return m
}
