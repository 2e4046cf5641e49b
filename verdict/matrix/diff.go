package matrix

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
)

// Differing lists the policies (namespace/name, or the name of a cluster's) that
// only one of two worlds has, or that say something else in each, sorted. That
// none of them changes a connection between the pods at hand does not mean that
// they say the same: what they speak of may not be in the input.
func Differing(before, after verdict.World) []string {
	specs := func(w verdict.World) map[string]any {
		all := map[string]any{}
		for _, p := range w.Policies {
			all[p.Key()] = verdict.Defaulted(p.Spec)
		}
		for _, p := range w.ClusterPolicies {
			all[p.Name] = p.Spec
		}
		return all
	}
	was, is := specs(before), specs(after)
	var names []string
	for name, spec := range was {
		if other, ok := is[name]; !ok || !equality.Semantic.DeepEqual(spec, other) {
			names = append(names, name)
		}
	}
	for name := range is {
		if _, ok := was[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// DifferenceOf is what changes between two sets, by workload, with the totals and
// the policies that differ. Unlike the list, the totals are never bounded.
func DifferenceOf(c compare.Changes, policies []string) Difference {
	doc := Difference{Changes: []ChangeEntry{}, Policies: append([]string{}, policies...), Opened: c.Opened, Closed: c.Closed, BecameUnknown: c.BecameUnknown, BecameKnown: c.BecameKnown,
		LeftOff: c.LeftOff, OnlyBefore: append([]string{}, c.OnlyBefore...), OnlyAfter: append([]string{}, c.OnlyAfter...)}
	for _, x := range c.List {
		doc.Changes = append(doc.Changes, ChangeEntry{
			x.From, x.To, portOf(x), string(x.Protocol), x.Kind().String(), x.Before.String(), x.After.String(), x.BeforeRule, x.AfterRule, x.Pairs,
			SamplePair{entryEnd(endOf(x.ExampleFrom)), entryEnd(endOf(x.ExampleTo))},
		})
	}
	return doc
}

// Difference is what changes between two sets, for other programs.
type Difference struct {
	Changes       []ChangeEntry `json:"changes"`
	Opened        int           `json:"opened"` // pairs of pods and a port, as all counts here
	Closed        int           `json:"closed"`
	BecameUnknown int           `json:"becameUnknown"`
	BecameKnown   int           `json:"becameKnown"`
	LeftOff       int           `json:"leftOff"`  // connections that no change stands for
	Policies      []string      `json:"policies"` // that differ, whether or not a change is theirs
	OnlyBefore    []string      `json:"onlyBefore"`
	OnlyAfter     []string      `json:"onlyAfter"`
}

// ChangeEntry is a change between two workloads on a port.
type ChangeEntry struct {
	From       string     `json:"from"` // workload, or address
	To         string     `json:"to"`
	Port       string     `json:"port"` // 80, 1024-65535, or * for every port that nothing mentions
	Protocol   string     `json:"protocol"`
	Change     string     `json:"change" jsonschema:"enum=opened,enum=closed,enum=became unknown,enum=became known"`
	Before     string     `json:"before" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	After      string     `json:"after" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	BeforeRule string     `json:"beforeRule"`
	AfterRule  string     `json:"afterRule"`
	Pairs      int        `json:"pairs"`  // of pods
	Sample     SamplePair `json:"sample"` // the pods that the rules are of
}

func endOf(e verdict.End) End { return End{Pod: e.Pod, IP: e.IP} }

func portOf(x compare.Change) string {
	switch {
	case x.OtherPort:
		return "*"
	case x.LastPort > x.Port:
		return fmt.Sprintf("%d-%d", x.Port, x.LastPort)
	}
	return strconv.Itoa(int(x.Port))
}

// WriteDiffText tells what changes, worst first: what closes, then what opens,
// then what is not known any more, each with the rule before and after. Policies
// are those that differ: where no connection changes, they are named.
func WriteDiffText(w io.Writer, c compare.Changes, policies []string, t Terminal) error {
	if t.Columns == 0 {
		t.Columns = 100
	}
	d := &drawing{Terminal: t, out: bufio.NewWriter(w)}
	for _, kind := range []compare.Kind{compare.Closed, compare.Opened, compare.BecameUnknown, compare.BecameKnown} {
		d.changes(kind, c.List)
	}
	d.only("Only in the first set, so nothing is said about them: ", c.OnlyBefore)
	d.only("Only in the second set, so nothing is said about them: ", c.OnlyAfter)
	if c.LeftOff > 0 {
		d.line("%s not listed.", plural(c.LeftOff, "more is", "more are"))
	}
	switch {
	case c.Changed() == 0 && len(policies) == 0:
		d.line("No connection changes, and no policy.")
	case c.Changed() == 0:
		d.wrap("", 0, "No connection between the pods at hand changes, on the ports that are looked at; yet "+plural(len(policies), "policy differs", "policies differ")+": "+
			printable(shortList(policies))+". What the difference is about may not be here: add the missing pods, for example the cluster's DNS, or name ports with --ports and addresses with --to-ip.")
	default:
		d.line("%s closed, %s opened%s%s, counted in pairs of pods and ports.", thousands(c.Closed), thousands(c.Opened), some(c.BecameUnknown, ", %s became unknown"), some(c.BecameKnown, ", %s became known"))
	}
	if err := d.out.Flush(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	return nil
}

func (d *drawing) changes(kind compare.Kind, list []compare.Change) {
	sign := map[compare.Kind]string{compare.Closed: "✕", compare.Opened: "■", compare.BecameUnknown: "?", compare.BecameKnown: "·"}[kind]
	head := strings.ToUpper(kind.String()[:1]) + kind.String()[1:]
	for _, x := range list {
		if x.Kind() != kind {
			continue
		}
		if head != "" {
			d.line("%s", d.strong(head))
			head = ""
		}
		pairs := ""
		if x.Pairs > 1 {
			pairs = fmt.Sprintf("  (%d pairs)", x.Pairs)
		}
		d.line("  %s %s → %s %s/%s%s", sign, printable(x.From), printable(x.To), portOf(x), x.Protocol, pairs)
		d.wrap("      before: ", 14, printable(x.BeforeRule))
		d.wrap("      after:  ", 14, printable(x.AfterRule))
	}
	if head == "" {
		d.line("")
	}
}

// shortList names at most 20 and counts the rest.
func shortList(names []string) string {
	const most = 20
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

func (d *drawing) only(lead string, pods []string) {
	if len(pods) == 0 {
		return
	}
	d.wrap("", 0, lead+printable(shortList(pods))+".")
	d.line("")
}
