package steer

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// Columns say what a table of rollouts shows beside the usual.
type Columns struct {
	Namespace bool
	Wide      bool
	Headless  bool // rows alone
}

// WriteTable writes rollouts as kubectl get does.
func WriteTable(w io.Writer, all []v1alpha1.PolicyRollout, c Columns) error {
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	head := []string{"NAME", "PHASE", "STAGE", "AGE", "MESSAGE"}
	if c.Wide {
		head = append(head, "RUN", "COMMITTED")
	}
	if c.Namespace {
		head = append([]string{"NAMESPACE"}, head...)
	}
	if !c.Headless {
		line(t, head)
	}
	for _, ro := range all {
		st := ro.Status
		cells := []string{ro.Name, string(cmp.Or(st.Phase, v1alpha1.PhasePending)), st.Stage, age(ro.CreationTimestamp.Time), firstLine(st.Message)}
		if c.Wide {
			cells = append(cells, nameOf(st.CurrentRunRef), nameOf(st.CommittedRunRef))
		}
		if c.Namespace {
			cells = append([]string{ro.Namespace}, cells...)
		}
		line(t, cells)
	}
	return t.Flush()
}

func line(w io.Writer, cells []string) {
	for i := range cells {
		cells[i] = report.Sanitize(cells[i])
	}
	fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t")) // tabwriter tells of failures when it is flushed
}

// writeIndented writes a line of a text that may be YAML: there the blanks that it begins
// with mean something, and Sanitize leaves none.
func writeIndented(w io.Writer, key, text string) {
	words := strings.TrimLeft(text, " ")
	indent := min(len(text)-len(words), mostIndent)
	fmt.Fprintf(w, "%s\t%s%s\n", report.Sanitize(key), strings.Repeat(" ", indent), report.Sanitize(words))
}

// mostIndent is deeper than any policy.
const mostIndent = 40

func age(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}

func firstLine(s string) string {
	first, _, more := strings.Cut(s, "\n")
	if more {
		first += " …"
	}
	return first
}

func nameOf(ref *v1alpha1.RunRef) string {
	if ref == nil {
		return ""
	}
	return ref.Name
}

// WriteStatus writes what a person asks first: where a rollout is, why, and how it came
// there.
func WriteStatus(w io.Writer, f Found) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	say := func(key, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		for i, one := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
			if i > 0 {
				key = ""
			}
			writeIndented(t, key, one)
		}
	}
	if ro := f.Rollout; ro != nil {
		say("Rollout:", "%s/%s, generation %d", ro.Namespace, ro.Name, ro.Generation)
		if f.Run == nil {
			say("Phase:", "%s", cmp.Or(ro.Status.Phase, v1alpha1.PhasePending))
			say("Message:", "%s", cmp.Or(ro.Status.Message, "no controller has taken it up yet"))
		}
		if ref := ro.Status.CommittedRunRef; ref != nil {
			say("Committed:", "%s", ref.Name)
		}
		if ro.Status.Result != "" {
			say("Result:", "%s", ro.Status.Result)
		}
		key := "Waves:"
		for i, w := range ro.Status.Waves {
			say(key, "%d. %s  %s%s", i+1, w.Name, cmp.Or(string(w.Phase), "not begun"), prefixed("  ", w.Run))
			key = ""
		}
		for _, c := range ro.Status.Conditions {
			if c.Type == v1alpha1.ConditionRetryIgnored {
				say("Retry:", "%s", c.Message)
			}
		}
	}
	if f.Run != nil {
		writeRun(say, f.Run)
	}
	return t.Flush()
}

func writeRun(say func(key, format string, args ...any), run *v1alpha1.PolicyRolloutRun) {
	st := run.Status
	wave := ""
	if n := max(run.Spec.Wave, 1); n <= int64(len(st.Waves)) {
		wave = fmt.Sprintf(", wave %d of %d (%s)", n, len(st.Waves), st.Waves[n-1].Name)
	}
	say("Run:", "%s, generation %d, attempt %d%s, intent %s", run.Name, run.Spec.Generation, max(run.Spec.Attempt, 1), wave, cmp.Or(run.Spec.Intent, v1alpha1.IntentRun))
	say("Phase:", "%s%s%s", cmp.Or(st.Phase, v1alpha1.PhasePending), prefixed(", stage ", st.Stage), prefixed(", cause ", st.Cause))
	if Paused(run) {
		say("Paused:", "yes")
	}
	if c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionWaitingForApproval); c != nil {
		say("Approvals:", "%s", c.Message)
	}
	if st.Result != "" {
		say("Result:", "%s", st.Result)
	}
	say("Message:", "%s", st.Message)
	for _, c := range st.Cuts {
		say("Cut:", "%s in %s: %s", c.Path, c.Phase, c.Rule)
	}
	if more := int(st.CutCount) - len(st.Cuts); more > 0 {
		say("", "and %d more", more)
	}
	if st.Evidence != nil {
		say("Report:", "ConfigMap %s/%s", run.Namespace, st.Evidence.Report)
	}
	key := "History:"
	for _, h := range st.History {
		say(key, "%s  %s%s%s", h.At.UTC().Format(time.RFC3339), h.Phase, prefixed(" ", h.Stage), prefixed(" ", h.Cause))
		key = ""
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
