package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
)

const (
	netpol  = "[sig-network] Netpol should allow"
	sctp    = "[sig-network] Netpol should speak (SCTP)"
	service = "[sig-network] Services should serve [Conformance]"
	dns     = "[sig-network] DNS should answer [Conformance]"
	pods    = "[sig-node] Pods should run [Conformance]"
	other   = "[sig-storage] Volumes should last [Conformance]"
)

var allSpecs = []string{netpol, sctp, service, dns, pods, other}

func TestTheListIsHeldToItsForm(t *testing.T) {
	got, err := parseSkips("# for readers\n\n" + sctp + " # the kernel has none\n")
	if err != nil || !slices.Equal(got, []skip{{sctp, "the kernel has none"}}) {
		t.Errorf("%v, %v", got, err)
	}
	for text, want := range map[string]string{
		sctp:                               "no reason",
		sctp + " # ":                       "no reason",
		sctp + " # a\n" + sctp + " # b":    "twice",
		"# SPEC # REASON\n" + sctp + " #x": ":2:",
	} {
		if _, err := parseSkips(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if all, err := parseSkips(skippedList); err != nil || len(all) == 0 {
		t.Errorf("the checked-in list: %d lines, %v", len(all), err)
	}
}

func TestAStaleLineOfTheListFails(t *testing.T) {
	for name, line := range map[string]string{"no such spec": "[sig-network] Netpol should be gone", "a spec of no group": other} {
		if _, err := makePlan(allSpecs, []skip{{line, "r"}}); err == nil || !strings.Contains(err.Error(), "no spec of any group") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAGroupWithNothingToRunFails(t *testing.T) {
	if _, err := makePlan(allSpecs, []skip{{dns, "r"}}); err == nil || !strings.Contains(err.Error(), "group dns") {
		t.Errorf("error %v", err)
	}
}

func TestSpecsAreSortedIntoGroups(t *testing.T) {
	p, err := makePlan(allSpecs, []skip{{sctp, "r"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p[0].run, []string{netpol}) || !slices.Equal(p[0].skip, []skip{{sctp, "r"}}) || !slices.Equal(p[3].run, []string{pods}) {
		t.Errorf("plan %+v", p)
	}
	if got := p[:1].expression(); got != `(?:\[sig-network\] Netpol should allow)$` {
		t.Errorf("expression %s", got)
	}
	listed, err := p.choose(options{listed: true})
	if err != nil || len(listed) != 1 || !slices.Equal(listed[0].run, []string{sctp}) {
		t.Errorf("-listed chose %+v, %v", listed, err)
	}
	if _, err := p.choose(options{only: "nothing"}); err == nil {
		t.Error("a group that is not there was chosen")
	}
}

func spec(text string, state types.SpecState, message string) types.SpecReport {
	return types.SpecReport{LeafNodeType: types.NodeTypeIt, LeafNodeText: text, State: state, Failure: types.Failure{Message: message}}
}

func TestOnlyAPassPasses(t *testing.T) {
	p := plan{{name: "netpol", run: []string{netpol}}}
	setup := types.SpecReport{LeafNodeType: types.NodeTypeSynchronizedBeforeSuite, State: types.SpecStateFailed, Failure: types.Failure{Message: "no nodes"}}
	for _, tt := range []struct {
		name    string
		specs   []types.SpecReport
		want    bool
		printed string
	}{
		{"it passed", []types.SpecReport{spec(netpol, types.SpecStatePassed, "")}, true, "netpol       1       0"},
		{"it failed", []types.SpecReport{spec(netpol, types.SpecStateFailed, "refused\nmore")}, false, "refused"},
		{"it panicked", []types.SpecReport{spec(netpol, types.SpecStatePanicked, "boom")}, false, "boom"},
		{"it skipped itself", []types.SpecReport{spec(netpol, types.SpecStateSkipped, "needs ssh")}, false, "needs ssh"},
		{"it was never run", []types.SpecReport{spec(netpol, types.SpecStateSkipped, "")}, false, "NOT RUN"},
		{"it is not in the report", nil, false, "NOT RUN"},
		{"the suite's set-up failed", []types.SpecReport{spec(netpol, types.SpecStatePassed, ""), setup}, false, "no nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			results, _ := p.count(types.Report{SpecReports: tt.specs})
			got := printTable(&out, results, 0)
			if got != tt.want || !strings.Contains(out.String(), tt.printed) {
				t.Errorf("passed %v, want %v; printed\n%s", got, tt.want, out.String())
			}
		})
	}
	if printTable(new(strings.Builder), nil, 0) {
		t.Error("no group at all passed")
	}
}
