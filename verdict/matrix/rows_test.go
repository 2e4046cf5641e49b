package matrix

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// listed are the rows as lines: from to port/protocol verdict.
func listed(q Query) []string {
	var all []string
	for r := range q.Rows() {
		all = append(all, r.From.String()+" "+r.To.String()+" "+r.Port.String()+" "+r.Decision.String())
	}
	return all
}

func wantLines(t *testing.T, got []string, want string) {
	t.Helper()
	if all := strings.Join(got, "\n"); all != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\nwant:\n%s", all, strings.TrimSpace(want))
	}
}

func TestEveryPairIsARowInOneOrder(t *testing.T) {
	q := small(t)
	want := `
ai/api-0 ai/api-0 8080/TCP Allow
ai/api-0 ai/api-0 9090/TCP Allow
ai/api-0 apps/batch 80/TCP Deny
ai/api-0 apps/web-0 no port Unknown
ai/api-0 apps/web-1 no port Unknown
apps/batch ai/api-0 8080/TCP Deny
apps/batch ai/api-0 9090/TCP Deny
apps/batch apps/batch 80/TCP Allow
apps/batch apps/web-0 no port Unknown
apps/batch apps/web-1 no port Unknown
apps/web-0 ai/api-0 8080/TCP Allow
apps/web-0 ai/api-0 9090/TCP Deny
apps/web-0 apps/batch 80/TCP Deny
apps/web-0 apps/web-0 no port Unknown
apps/web-0 apps/web-1 no port Unknown
apps/web-1 ai/api-0 8080/TCP Allow
apps/web-1 ai/api-0 9090/TCP Deny
apps/web-1 apps/batch 80/TCP Deny
apps/web-1 apps/web-0 no port Unknown
apps/web-1 apps/web-1 no port Unknown`
	got := listed(q)
	slices.Sort(got)
	wantLines(t, got, want)
	slices.Reverse(q.From)
	slices.Reverse(q.To)
	if again := listed(q); !slices.Equal(again, listed(small(t))) {
		t.Errorf("the order of the input shows:\n%s", strings.Join(again, "\n"))
	}
}

func TestAPortByNameIsWhatTheTargetMeansByIt(t *testing.T) {
	q := small(t)
	q.From, q.To = q.From[:1], q.To[1:]
	q.Ports = []Port{{Name: "http", Protocol: "TCP"}, {Name: "http", Protocol: "UDP"}, {Number: 9090, Protocol: "TCP"}}
	wantLines(t, listed(q), `
apps/web-0 ai/api-0 http/TCP Allow
apps/web-0 ai/api-0 http/UDP Unknown
apps/web-0 ai/api-0 9090/TCP Deny
apps/web-0 apps/web-1 http/TCP Unknown
apps/web-0 apps/web-1 http/UDP Unknown
apps/web-0 apps/web-1 9090/TCP Allow
apps/web-0 apps/batch http/TCP Deny
apps/web-0 apps/batch http/UDP Unknown
apps/web-0 apps/batch 9090/TCP Deny`)
	for r := range q.Rows() {
		if r.Port.Name == "http" && r.Decision == verdict.Unknown && !strings.Contains(r.Ingress.Rule, "declares no port http/") {
			t.Errorf("%s does not say why: %q", r.To, r.Ingress.Rule)
		}
	}
}

func TestOneNameForTwoPortsMustAgree(t *testing.T) {
	q := small(t)
	api := *q.To[2].Pod
	api.Ports = []verdict.Port{{Name: "http", Number: 8080}, {Name: "http", Number: 9090}}
	q.From, q.To, q.Ports = q.From[:1], []End{{Pod: &api}}, []Port{{Name: "http", Protocol: "TCP"}}
	for r := range q.Rows() {
		if r.Decision != verdict.Unknown || !strings.Contains(r.Reason, "more than once") {
			t.Errorf("8080 is allowed and 9090 denied, and http is %s: %s", r.Decision, r.Reason)
		}
	}
}

func TestOutsideAddressesComeLastAndNeverMeet(t *testing.T) {
	q := small(t)
	outside := []End{{IP: netip.MustParseAddr("192.0.2.7")}, {IP: netip.MustParseAddr("192.0.2.1")}}
	q.From, q.To, q.Ports = append(outside, q.From[3]), append(outside, q.To[2]), []Port{{Number: 443, Protocol: "TCP"}}
	wantLines(t, listed(q), `
apps/batch ai/api-0 443/TCP Deny
apps/batch 192.0.2.1 443/TCP Deny
apps/batch 192.0.2.7 443/TCP Deny
192.0.2.1 ai/api-0 443/TCP Deny
192.0.2.7 ai/api-0 443/TCP Deny`)
}

func TestJSONHasExactlyTheseFields(t *testing.T) {
	q := small(t)
	q.From = []End{q.From[0], {IP: netip.MustParseAddr("192.0.2.1")}}
	q.To = q.To[2:3]
	var b bytes.Buffer
	if err := WriteJSON(t.Context(), &b, nil, q.Rows()); err != nil {
		t.Fatal(err)
	}
	want := `{"results":[
{"from":{"namespace":"apps","pod":"web-0"},"to":{"namespace":"ai","pod":"api-0"},"port":"8080","protocol":"TCP","verdict":"Allow","ingressRule":"ai/api ingress[0]","egressRule":"not isolated"}
,
{"from":{"namespace":"apps","pod":"web-0"},"to":{"namespace":"ai","pod":"api-0"},"port":"9090","protocol":"TCP","verdict":"Deny","ingressRule":"ai/api ingress: no rule allows 9090/TCP from apps/web-0","egressRule":"not isolated"}
,
{"from":{"ip":"192.0.2.1"},"to":{"namespace":"ai","pod":"api-0"},"port":"8080","protocol":"TCP","verdict":"Deny","ingressRule":"ai/api ingress: no rule allows 8080/TCP from 192.0.2.1","egressRule":"outside the cluster"}
,
{"from":{"ip":"192.0.2.1"},"to":{"namespace":"ai","pod":"api-0"},"port":"9090","protocol":"TCP","verdict":"Deny","ingressRule":"ai/api ingress: no rule allows 9090/TCP from 192.0.2.1","egressRule":"outside the cluster"}
]}
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &b, want)
	}
}

func TestAnEmptyMatrixIsStillADocument(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"pods":      func(w io.Writer) error { return WriteJSON(t.Context(), w, nil, Query{}.Rows()) },
		"workloads": func(w io.Writer) error { return WriteJSONByWorkload(t.Context(), w, nil, Query{}.Cells()) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || strings.TrimSpace(b.String()) != `{"results":[]}` {
			t.Errorf("%s: %q, %v", name, &b, err)
		}
	}
}

// Replicas on two sides of an ipBlock do not agree, and the cell says how many.
func TestPodsOfAWorkloadThatDifferAreMixed(t *testing.T) {
	q := small(t)
	world := q.Snapshot.World()
	block := networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.1/32"}}
	world.Policies = append(world.Policies, policy("ai", "scrape", map[string]string{"app": "api"}, networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{block}, Ports: tcp(9090)}}}))
	var pods []verdict.Pod
	for _, p := range q.Snapshot.Pods() {
		pods = append(pods, *p)
	}
	q.Snapshot = verdict.Compile(world, pods)
	var b bytes.Buffer
	if err := WriteJSONByWorkload(t.Context(), &b, nil, q.Cells()); err != nil {
		t.Fatal(err)
	}
	want := `{"from":{"namespace":"apps","workload":"deployment/web"},"to":{"namespace":"ai","workload":"statefulset/api"},"port":"9090","protocol":"TCP","verdict":"Mixed",` +
		`"ingressRule":"ai/api ingress: no rule allows 9090/TCP from apps/web-1","egressRule":"not isolated","pairs":{"allow":1,"deny":1,"unknown":0},` +
		`"sample":{"from":{"namespace":"apps","pod":"web-1"},"to":{"namespace":"ai","pod":"api-0"}}}`
	if !strings.Contains(b.String(), want) {
		t.Errorf("%s\nlacks\n%s", &b, want)
	}
}

// A pod always reaches itself; of a workload with replicas that says nothing.
func TestReplicasAreJudgedAgainstEachOther(t *testing.T) {
	pods := []verdict.Pod{
		{Namespace: "a", Name: "x-0", Ports: []verdict.Port{{Number: 80}}},
		{Namespace: "a", Name: "x-1", Ports: []verdict.Port{{Number: 80}}},
		{Namespace: "a", Name: "alone", Ports: []verdict.Port{{Number: 80}}},
	}
	q := Query{Snapshot: verdict.Compile(verdict.World{Policies: []verdict.Policy{policy("a", "deny", nil, networkingv1.NetworkPolicySpec{})}}, pods)}
	q.From = []End{{Pod: &pods[0], Workload: "deployment/x"}, {Pod: &pods[1], Workload: "deployment/x"}, {Pod: &pods[2]}}
	q.To = q.From
	want := map[string]Outcome{"a/x a/x": Deny, "a/alone a/alone": Allow, "a/x a/alone": Deny, "a/alone a/x": Deny}
	n := 0
	for c := range q.Cells() {
		n++
		if key := c.From.String() + " " + c.To.String(); c.Outcome != want[key] {
			t.Errorf("%s is %s, want %s (%v)", key, c.Outcome, want[key], c.Pairs)
		}
	}
	if n != len(want) {
		t.Errorf("%d cells, want %d", n, len(want))
	}
}

// What a cell says is what its pods say, one by one.
func TestCellsAgreeWithRows(t *testing.T) {
	q := platform(6, 20)
	pods := map[string][3]int{}
	workload := map[string]string{}
	for _, e := range q.From {
		workload[e.String()] = e.Namespace() + "/" + e.workload()
	}
	for r := range q.Rows() {
		if r.From.String() == r.To.String() {
			continue
		}
		key := workload[r.From.String()] + " " + workload[r.To.String()] + " " + r.Port.String()
		counts := pods[key]
		counts[r.Decision]++
		pods[key] = counts
	}
	n := 0
	for c := range q.Cells() {
		if c.From.String() == c.To.String() && c.From.Pods() == 1 {
			continue
		}
		n++
		key := c.From.Namespace + "/" + c.From.Kind + "/" + c.From.Name + " " + c.To.Namespace + "/" + c.To.Kind + "/" + c.To.Name + " " + c.Port.String()
		if c.Pairs != pods[key] {
			t.Errorf("%s: %v, and its pods are %v", key, c.Pairs, pods[key])
		}
	}
	if n < 10_000 {
		t.Errorf("only %d cells were compared", n)
	}
}

func TestCSVIsTheSameData(t *testing.T) {
	q := platform(2, 10)
	var b, j bytes.Buffer
	if err := errors.Join(WriteCSV(t.Context(), &b, q.Rows()), WriteJSON(t.Context(), &j, nil, q.Rows())); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	var doc struct{ Results []Entry }
	if err := errors.Join(err, json.Unmarshal(j.Bytes(), &doc)); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(doc.Results)+1 || len(rows) < 400 {
		t.Fatalf("%d lines of CSV and %d results", len(rows), len(doc.Results))
	}
	for i, r := range doc.Results {
		want := []string{r.From.Namespace, r.From.Pod, r.From.IP, r.To.Namespace, r.To.Pod, r.To.IP, r.Port, r.Protocol, r.Verdict, r.IngressRule, r.EgressRule}
		if !slices.Equal(rows[i+1], want) {
			t.Fatalf("line %d: %q, want %q", i+2, rows[i+1], want)
		}
	}
}

func TestASpreadsheetRunsNothing(t *testing.T) {
	pods := []verdict.Pod{{Namespace: "=cmd|' /C calc'!A0", Name: "@x"}}
	q := Query{Snapshot: verdict.Compile(verdict.World{}, pods), From: []End{{Pod: &pods[0]}}, To: []End{{Pod: &pods[0]}}}
	var b bytes.Buffer
	if err := WriteCSV(t.Context(), &b, q.Rows()); err != nil {
		t.Fatal(err)
	}
	if line := strings.Split(b.String(), "\n")[1]; !strings.HasPrefix(line, "'=cmd") || !strings.Contains(line, ",'@x,") {
		t.Errorf("a formula: %s", line)
	}
}

// 25 million rows are never in memory at once: whoever reads slowly gets them
// as they are judged.
func TestRowsAreWrittenAsTheyAreJudged(t *testing.T) {
	q := platform(6, 20)
	for name, write := range map[string]func(context.Context, io.Writer) error{
		"json": func(ctx context.Context, w io.Writer) error { return WriteJSON(ctx, w, nil, q.Rows()) },
		"csv":  func(ctx context.Context, w io.Writer) error { return WriteCSV(ctx, w, q.Rows()) },
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		first := &firstWrite{then: func() { stop(errors.New("enough")) }}
		if err := write(ctx, first); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("%s: %v, though it was ended after its first bytes", name, err)
		}
		if first.bytes > 4<<20 {
			t.Errorf("%s: %d bytes came after the end", name, first.bytes)
		}
	}
}

type firstWrite struct {
	then  func()
	bytes int
}

func (f *firstWrite) Write(p []byte) (int, error) {
	f.then()
	f.bytes += len(p)
	return len(p), nil
}

func TestAFullDiskIsAnError(t *testing.T) {
	q := small(t)
	for name, err := range map[string]error{
		"json": WriteJSON(t.Context(), full{}, nil, q.Rows()), "csv": WriteCSV(t.Context(), full{}, q.Rows()),
		"html": WriteHTML(t.Context(), full{}, q, Page{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestPortsArePorts(t *testing.T) {
	got, err := ParsePorts([]string{"80/TCP", "serve/udp", " 53/UDP", "80", "9/SCTP"})
	want := []Port{{Number: 80, Protocol: "TCP"}, {Name: "serve", Protocol: "UDP"}, {Number: 53, Protocol: "UDP"}, {Number: 9, Protocol: "SCTP"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for text, says := range map[string]string{
		"70000/TCP": "70000 is no port", "0": "0 is no port", "80/ICMP": `"ICMP" is no protocol`, "80/": `"" is no protocol`,
		"": "neither a number nor", "serve!/TCP": "neither a number nor", "-1": "-1 is no port",
	} {
		if _, err := ParsePort(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
