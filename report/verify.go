package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// Bundle is a run with everything that its report is verified by, as one document.
type Bundle struct {
	SchemaVersion string                     `json:"schemaVersion"`
	Run           *v1alpha1.PolicyRolloutRun `json:"run"`
	Chunks        []BundledChunk             `json:"chunks"`
}

// BundledChunk is a chunk as its ConfigMap holds it.
type BundledChunk struct {
	Name   string `json:"name"` // of the ConfigMap
	Packed []byte `json:"packed"`
}

// BundleSchema of a bundle. A reader refuses another one.
const BundleSchema = "tightrope.dev/evidence-bundle/v1alpha1"

// JSON writes what ParseBundle reads.
func (b *Bundle) JSON() ([]byte, error) {
	b.SchemaVersion = BundleSchema
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bundle the evidence: %w", err)
	}
	return append(data, '\n'), nil
}

// ParseBundle reads a bundle, which may come from anyone.
func ParseBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("evidence has %d bytes, more than %d: not of a run of ours", len(data), MaxBytes)
	}
	var b Bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("evidence does not parse: %w", err)
	}
	switch {
	case b.SchemaVersion != BundleSchema:
		return nil, fmt.Errorf("evidence: %w %q: this version reads %q", ErrSchema, Sanitize(b.SchemaVersion), BundleSchema)
	case b.Run == nil:
		return nil, errors.New("evidence: it holds no run")
	}
	return &b, nil
}

// Verification is what came of holding a report against the evidence of its run.
type Verification struct {
	Checks     []Check
	NotCovered []string // what the report states and the evidence cannot show
	Report     *Report  // as the evidence tells it; nil: the chain is broken
}

// Check is one thing that was compared.
type Check struct {
	What string
	Err  error // nil: it agrees
}

// Err is everything that does not agree; nil: all does.
func (v *Verification) Err() error {
	var errs []error
	for _, c := range v.Checks {
		if c.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.What, c.Err))
		}
	}
	return errors.Join(errs...)
}

func (v *Verification) check(what string, err error) bool {
	v.Checks = append(v.Checks, Check{what, err})
	return err == nil
}

// Verify reads the evidence of a run, judges it anew, and compares what comes of it with
// the run's status and with a report; nil: there is no report to compare.
func Verify(b *Bundle, rep *Report) *Verification {
	v := &Verification{}
	run, head := b.Run, HeadOf(b.Run)
	stored := make([]evidence.Stored, len(b.Chunks))
	for i, c := range b.Chunks {
		stored[i] = evidence.Stored{Where: "ConfigMap " + Sanitize(c.Name), Packed: c.Packed}
	}
	chunks, extra, err := evidence.Read(stored, run.Name, string(run.UID), head)
	if err == nil && head.Chunks == 0 {
		err = errors.New("the status of the run names no evidence")
	}
	if !v.check(fmt.Sprintf("the chain: %d chunks of run %s, each named by the one after it, the newest by the run's status", head.Chunks, Sanitize(run.Name)), err) {
		return v
	}
	for _, x := range extra {
		v.NotCovered = append(v.NotCovered, x+": the chain does not lead to it, so it counts for nothing")
	}
	book, err := Weigh(chunks)
	v.Report = &book.Report
	v.check("the decisions: each follows from what was seen, and from the one before it", err)
	same := sameStatus(run, book, chunks)
	if same != nil && !meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied) {
		same = fmt.Errorf("%w: %w", ErrAhead, same)
	}
	v.check("the run's status: phase, cause, result, message and plan", same)
	if book.State.Phase == v1alpha1.PhaseCommitted {
		v.check("the commit: it rests on what was seen", book.restsOnNothing())
	}
	for _, at := range book.Gaps {
		v.NotCovered = append(v.NotCovered, "what the decision of "+stamp(at)+" rests on: the controller was stopped before it had written that down")
	}
	if rep != nil {
		v.compare(rep, &book.Report)
	}
	return v
}

// HeadOf a run is the head of its chain, as its status names it.
func HeadOf(run *v1alpha1.PolicyRolloutRun) evidence.Head {
	if e := run.Status.Evidence; e != nil {
		return evidence.Head{Digest: e.Head, Chunks: int(e.Chunks)}
	}
	return evidence.Head{}
}

// Weigh makes a report from the chunks of a run. The error names every decision that
// does not follow from what it rests on.
func Weigh(chunks []*evidence.Chunk) (*Book, error) {
	book, wrong := &Book{}, []error(nil)
	for _, c := range chunks {
		for _, e := range c.Entries {
			if err := book.Add(e); err != nil {
				wrong = append(wrong, fmt.Errorf("chunk %d: %w", c.Number, err))
			}
		}
	}
	return book, errors.Join(wrong...)
}

// ErrAhead says that the status of a run that is not finished with is not that of its
// evidence. A decision to go back is in the status first, so this is over a moment later;
// if it stays, no controller is there to write it down, or somebody changed the status.
var ErrAhead = errors.New("the run has not written its newest decision down yet")

func sameStatus(run *v1alpha1.PolicyRolloutRun, b *Book, chunks []*evidence.Chunk) error {
	st := run.Status
	state := rollout.State{Phase: st.Phase, Step: int(st.Step), Cause: rollout.Cause(st.Cause)}
	newest := chunks[len(chunks)-1]
	switch {
	case state != b.State:
		return fmt.Errorf("the status says %s, and the evidence %s", told(state), told(b.State))
	case st.Result != b.Report.Result:
		return fmt.Errorf("the status says result %q, and the evidence %q", st.Result, b.Report.Result)
	case st.Message != b.Report.Message:
		return errors.New("the message of the status is not that of the evidence")
	case st.PlanDigest != newest.Plan:
		return fmt.Errorf("the status says plan %q, and the evidence %q", st.PlanDigest, newest.Plan)
	}
	return nil
}

// notWeighed are the fields of a report that come from elsewhere than from the run.
var notWeighed = map[string]string{
	"Scenario": "the scenario that the run was part of",
	"Cluster":  "the name of the cluster",
	"Expected": "the result that a scenario expects",
	"Unmet":    "what a scenario expected besides",
}

// compare compares every field of two reports, whatever fields there come to be: one
// that the evidence says nothing of is a difference.
func (v *Verification) compare(rep, weighed *Report) {
	a, b := reflect.ValueOf(*rep.plain()), reflect.ValueOf(*weighed.plain())
	for i := range a.NumField() {
		field := a.Type().Field(i)
		if what, ok := notWeighed[field.Name]; ok {
			if !a.Field(i).IsZero() {
				v.NotCovered = append(v.NotCovered, what)
			}
			continue
		}
		name, _ := field.Tag.Lookup("json")
		v.check("the report's "+jsonName(name), differ("", a.Field(i), b.Field(i)))
	}
}

func jsonName(tag string) string {
	for i, r := range tag {
		if r == ',' {
			return tag[:i]
		}
	}
	return tag
}

// plain is the report as its readers see it, so that two of them compare by value.
func (r *Report) plain() *Report {
	n := r.normal()
	for _, list := range []*[]Cut{&n.Cuts, &n.Leaks} {
		*list = slices.Clone(*list)
	}
	return n
}

// differ says where two values differ first; nil: nowhere.
func differ(at string, a, b reflect.Value) error {
	switch a.Kind() {
	case reflect.Struct:
		if eq := a.MethodByName("Equal"); eq.IsValid() { // a time
			if !eq.Call([]reflect.Value{b})[0].Bool() {
				return says(at, a, b)
			}
			return nil
		}
		for i := range a.NumField() {
			if err := differ(at+"."+jsonName(a.Type().Field(i).Tag.Get("json")), a.Field(i), b.Field(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		for i := range min(a.Len(), b.Len()) {
			if err := differ(fmt.Sprintf("%s[%d]", at, i), a.Index(i), b.Index(i)); err != nil {
				return err
			}
		}
		if a.Len() != b.Len() {
			return fmt.Errorf("the report has %d%s, and the evidence gives %d", a.Len(), spaced(at), b.Len())
		}
		return nil
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return says(at, a, b)
			}
			return nil
		}
		return differ(at, a.Elem(), b.Elem())
	}
	if !a.Equal(b) {
		return says(at, a, b)
	}
	return nil
}

func spaced(at string) string {
	if at == "" {
		return ""
	}
	return " of " + at
}

func says(at string, a, b reflect.Value) error {
	show := func(v reflect.Value) string {
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return "nothing"
			}
			v = v.Elem()
		}
		return fmt.Sprintf("%q", Sanitize(fmt.Sprint(v.Interface())))
	}
	where := ""
	if at != "" {
		where = at + ": "
	}
	return fmt.Errorf("%sthe report says %s, and the evidence gives %s", where, show(a), show(b))
}

// Packed is the chunk that a ConfigMap holds; nil: it holds none.
func Packed(cm *corev1.ConfigMap) []byte { return cm.BinaryData[evidence.Key] }

// Gather makes the bundle of a run from its chunks, wherever fetch has them from.
func Gather(run *v1alpha1.PolicyRolloutRun, fetch func(name string) ([]byte, error)) (*Bundle, error) {
	stored, err := Chain(HeadOf(run), run.Name, fetch)
	if err != nil {
		return nil, err
	}
	b := &Bundle{SchemaVersion: BundleSchema, Run: run}
	for _, s := range slices.Backward(stored) {
		b.Chunks = append(b.Chunks, BundledChunk{strings.TrimPrefix(s.Where, "ConfigMap "), s.Packed})
	}
	return b, nil
}

// Chain fetches the chunks of a run, going back from the newest: the name of each
// follows from what the one after it says. One that is missing, or that nobody can
// read, ends the search; evidence.Read says so. Fetch returns nothing for an object that is not there.
func Chain(head evidence.Head, run string, fetch func(name string) ([]byte, error)) ([]evidence.Stored, error) {
	var stored []evidence.Stored
	digest := head.Digest
	for n := min(head.Chunks, evidence.MaxChunks); n > 0; n-- {
		name := evidence.Name(run, n, digest)
		packed, err := fetch(name)
		if err != nil {
			return nil, fmt.Errorf("ConfigMap %s: %w", name, err)
		}
		if packed == nil {
			break
		}
		s := evidence.Stored{Where: "ConfigMap " + name, Packed: packed}
		stored = append(stored, s)
		if _, digest, err = s.Links(); err != nil {
			break
		}
	}
	return stored, nil
}
