package probes

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func goodLine() Line {
	return window(3, Count{
		ID: "p0/pod", Outcomes: map[Outcome]int{Unsent: 1, TimedOut: 2}, Last: TimedOut, Streak: 2,
		Since: agentStart, Newest: agentStart.Add(tick), Status: 503, Detail: "i/o timeout",
	})
}

func TestParseLineReadsWhatWasWritten(t *testing.T) {
	want := goodLine()
	got, err := ParseLine(marshal(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v\nwant %+v", got, err, want)
	}
}

// What a steady check costs in a line is bounded: logs are kept, by the kilobyte.
func TestASteadyCountIsShort(t *testing.T) {
	steady := Count{ID: "p0/pod", Outcomes: map[Outcome]int{Reached: 4}, Last: Reached, Streak: 4000, Since: agentStart, Newest: agentStart.Add(1000 * time.Second)}
	line := window(4001, steady)
	raw := string(marshal(t, line))
	const want = `{"id":"p0/pod","ended":{"Reached":4},"streak":4000,"since":1000250000,"newest":250000}`
	if !strings.Contains(raw, want) || steady.Size(line.To) != len(want) || line.Size()+len(want) != len(raw) {
		t.Errorf("%s\nholds no %s, or its size of %d+%d is wrong", raw, want, line.Size(), steady.Size(line.To))
	}
	if back, err := ParseLine([]byte(raw)); err != nil || !reflect.DeepEqual(back, line) {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestParseLineRefuses(t *testing.T) {
	but := func(edit func(*Line, *Count)) []byte {
		l := goodLine()
		edit(&l, &l.Counts[0])
		return marshal(t, l)
	}
	many := goodLine()
	for i := range MaxChecks {
		many.Counts = append(many.Counts, Count{ID: fmt.Sprint(i)})
	}
	if many.check() == nil {
		t.Error("a line of too many counts was taken")
	}
	for name, raw := range map[string][]byte{
		"nothing":                   nil,
		"text":                      []byte("panic: runtime error"),
		"a list":                    []byte("[]"),
		"a second value":            append(marshal(t, goodLine()), "{}"...),
		"an unknown field":          []byte(`{"seq":1,"password":"x"}`),
		"a long line":               []byte(`{"error":"` + strings.Repeat("x", MaxLine) + `"}`),
		"no sequence number":        but(func(l *Line, _ *Count) { l.Seq = 0 }),
		"no window":                 but(func(l *Line, _ *Count) { l.From = time.Time{} }),
		"a window that runs back":   but(func(l *Line, _ *Count) { l.To = l.From.Add(-1) }),
		"counts of no plan":         but(func(l *Line, _ *Count) { l.Digest = "" }),
		"a long name":               but(func(l *Line, _ *Count) { l.Agent = strings.Repeat("x", MaxID+1) }),
		"a long error":              but(func(l *Line, _ *Count) { l.Error = strings.Repeat("x", MaxError+1) }),
		"a check twice":             but(func(l *Line, c *Count) { l.Counts = append(l.Counts, *c) }),
		"a check without ID":        but(func(_ *Line, c *Count) { c.ID = "" }),
		"a long ID":                 but(func(_ *Line, c *Count) { c.ID = strings.Repeat("x", MaxID+1) }),
		"a check nobody tried":      but(func(_ *Line, c *Count) { c.Outcomes = nil }),
		"an unknown outcome":        but(func(_ *Line, c *Count) { c.Outcomes["Passed"] = 1 }),
		"an unknown last outcome":   but(func(_ *Line, c *Count) { c.Last = "Passed" }),
		"less than no attempts":     but(func(_ *Line, c *Count) { c.Outcomes[Reached] = -1 }),
		"attempts beyond counting":  but(func(_ *Line, c *Count) { c.Outcomes[Reached] = 1 << 60 }),
		"a streak of nothing":       but(func(_ *Line, c *Count) { c.Streak = 0 }),
		"a streak that runs back":   but(func(_ *Line, c *Count) { c.Newest = c.Since.Add(-time.Microsecond) }),
		"a time after its line":     but(func(l *Line, c *Count) { c.Newest = l.To.Add(time.Microsecond) }),
		"a streak of centuries":     but(func(_ *Line, c *Count) { c.Since = c.Since.AddDate(-100, 0, 0) }),
		"no last outcome":           []byte(strings.Replace(string(marshal(t, goodLine())), `"last":"TimedOut",`, "", 1)),
		"the field names of before": []byte(strings.Replace(string(marshal(t, goodLine())), `"ended"`, `"outcomes"`, 1)),
		"an impossible status":      but(func(_ *Line, c *Count) { c.Status = 1000 }),
		"a long detail":             but(func(_ *Line, c *Count) { c.Detail = strings.Repeat("x", MaxDetail+1) }),
	} {
		if line, err := ParseLine(raw); err == nil {
			t.Errorf("%s was taken: %+v", name, line)
		}
	}
}

func goodPlan() Plan {
	return Plan{
		Run: "r1", Agent: "apps/probe", Interval: 250 * time.Millisecond, Timeout: 250 * time.Millisecond,
		Confirm: Confirmation{Every: 20 * time.Millisecond, Count: 12},
		Checks: []Check{
			{ID: "p0/pod", Type: "HTTP", Protocol: "TCP", Host: "10.244.0.7", Port: 4000, Path: "/health?a=b"},
			{ID: "p0/service", Type: "TCP", Protocol: "TCP", Host: "llm-gateway.ai.svc", Port: 4000},
			{ID: "p1/pod", Type: "DNS", Protocol: "UDP", Host: "fd00::1", Port: 53, Query: "kubernetes.default.svc.cluster.local."},
		},
	}
}

func TestParsePlanReadsWhatWasWritten(t *testing.T) {
	want := goodPlan()
	got, err := ParsePlan(marshal(t, want))
	if err != nil || got.Digest() != want.Digest() {
		t.Errorf("read %+v, %v\nwant %+v", got, err, want)
	}
	if p, err := ParsePlan([]byte("{}")); err != nil || len(p.Checks) != 0 {
		t.Errorf("the plan that tries nothing: %+v, %v", p, err)
	}
}

func TestParsePlanRefuses(t *testing.T) {
	but := func(edit func(*Plan, *Check)) []byte {
		p := goodPlan()
		edit(&p, &p.Checks[0])
		return marshal(t, p)
	}
	for name, raw := range map[string][]byte{
		"nothing":                    nil,
		"half a file":                marshal(t, goodPlan())[:100],
		"an unknown field":           []byte(`{"exec":"sh"}`),
		"a long file":                []byte(`{"run":"` + strings.Repeat("x", MaxPlan) + `"}`),
		"no interval":                but(func(p *Plan, _ *Check) { p.Interval = 0 }),
		"no timeout":                 but(func(p *Plan, _ *Check) { p.Timeout = 0 }),
		"an endless burst":           but(func(p *Plan, _ *Check) { p.Confirm.Count = 1e6 }),
		"a burst all at once":        but(func(p *Plan, _ *Check) { p.Confirm.Every = 0 }),
		"a check twice":              but(func(p *Plan, c *Check) { p.Checks = append(p.Checks, *c) }),
		"a check without ID":         but(func(_ *Plan, c *Check) { c.ID = "" }),
		"an ID that fits in no line": but(func(_ *Plan, c *Check) { c.ID = strings.Repeat("x", MaxID+1) }),
	} {
		if plan, err := ParsePlan(raw); err == nil {
			t.Errorf("%s was taken: %+v", name, plan)
		}
	}
}

// A check that cannot be tried is named by Validate, and the plan that holds it is
// read all the same, so that it does not silence the checks beside it.
func TestACheckThatCannotBeTriedIsNamedAndSpoilsNoPlan(t *testing.T) {
	for i, c := range goodPlan().Checks {
		if err := c.Validate(); err != nil {
			t.Errorf("good check %d: %v", i, err)
		}
	}
	web, dns := goodPlan().Checks[0], goodPlan().Checks[2]
	but := func(c Check, edit func(*Check)) Check { edit(&c); return c }
	for name, bad := range map[string]Check{
		"an unknown type":          but(web, func(c *Check) { c.Type = "ICMP" }),
		"HTTP over UDP":            but(web, func(c *Check) { c.Protocol = "UDP" }),
		"a TCP probe of UDP":       but(web, func(c *Check) { c.Type, c.Protocol = "TCP", "UDP" }),
		"no host":                  but(web, func(c *Check) { c.Host = "" }),
		"a host with a line end":   but(web, func(c *Check) { c.Host = "a\r\nb" }),
		"port 0":                   but(web, func(c *Check) { c.Port = 0 }),
		"port 65536":               but(web, func(c *Check) { c.Port = 65536 }),
		"a path with a line end":   but(web, func(c *Check) { c.Path = "/\r\nX: y" }),
		"a path with a blank":      but(web, func(c *Check) { c.Path = "/ HTTP/1.0" }),
		"a path that is a host":    but(web, func(c *Check) { c.Path = "http://else.where/" }),
		"a path without its slash": but(web, func(c *Check) { c.Path = "health" }),
		"a question about nobody":  but(dns, func(c *Check) { c.Query = "" }),
	} {
		if bad.Validate() == nil {
			t.Errorf("%s was taken", name)
		}
		p := goodPlan()
		p.Checks = append(p.Checks, but(bad, func(c *Check) { c.ID = "bad" }))
		if read, err := ParsePlan(marshal(t, p)); err != nil || len(read.Checks) != 4 {
			t.Errorf("%s spoils the plan: %v", name, err)
		}
	}
	if but(web, func(c *Check) { c.ID = "" }).Validate() == nil {
		t.Error("a check without ID was taken")
	}
}

// Whatever is read is within bounds, and can be added up and written again.
func FuzzParseLine(f *testing.F) {
	f.Add(marshal(f, goodLine()))
	f.Add([]byte(`{"seq":1,"from":"2031-05-01T12:00:00Z","to":"2031-05-01T12:00:00Z","digest":"d"}`))
	f.Add([]byte(`{"counts":[{"ended":{"":-1}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := ParseLine(raw)
		if err != nil {
			return
		}
		l := NewLedger(line.Digest)
		if err := l.Add(line, callerStart); err != nil {
			t.Fatal(err)
		}
		for _, c := range line.Counts {
			if s := l.State(c.ID); s.Attempts != s.Connected+s.Blocked+s.Unsent || s.Attempts < 1 {
				t.Errorf("%+v", s)
			}
		}
		if l.Add(line, callerStart) == nil {
			t.Error("a line was added twice")
		}
	})
}

func FuzzParsePlan(f *testing.F) {
	f.Add(marshal(f, goodPlan()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		plan, err := ParsePlan(raw)
		if err != nil {
			return
		}
		again, err := ParsePlan(marshal(t, plan))
		if err != nil || again.Digest() != plan.Digest() {
			t.Errorf("a plan that was taken is refused when written again: %v", err)
		}
	})
}
