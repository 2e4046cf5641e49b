package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// decided is what the digest covers: what a person who approves a plan has read. It
// holds no name of a run or an object, no UID, nothing of today's pods and nodes, no
// prediction, and no setting of the controller; the same rollout on the same policies
// has one digest, whoever plans it. Where order means nothing, it is sorted.
type decided struct {
	Account    types.NamespacedName
	Steps      []rollout.StepPlan
	Limits     rollout.Limits
	Interval   time.Duration
	Timeout    time.Duration
	Budget     float64
	Identities []v1alpha1.Identity
	Paths      []v1alpha1.Path
	Candidates []decidedCandidate
	Bridges    []rollout.Bridge
	Originals  []decidedOriginal
	Baseline   []Policy
	Exceptions []v1alpha1.Exception
	Protected  []string
	// Of a rollout in waves; empty where there is one only.
	Waves []rollout.Wave `json:",omitempty"`
	Wave  int64          `json:",omitempty"`
}

// decidedCandidate is a Candidate without the name of its temporary object.
type decidedCandidate struct {
	Policy
	Labels      map[string]*string `json:",omitempty"` // a plan that has none has the digest that it had before there were any
	Annotations map[string]*string `json:",omitempty"`
}

// decidedOriginal is an Original without what the API server made of it.
type decidedOriginal struct {
	Policy
	Becomes string
}

// Digest of what is decided ("sha256:…"), which tightrope plan prints and a run's
// status.planDigest has.
func (p *Plan) Digest() string { return "sha256:" + SumOf(p.decided()) }

func (p *Plan) decided() decided {
	d := decided{
		Account: p.Account, Steps: p.Steps, Limits: p.Limits, Interval: p.Interval, Timeout: p.Timeout, Budget: p.Budget,
		Identities: sorted(p.Identities, func(id v1alpha1.Identity) string { return id.Name }),
		Exceptions: sorted(p.Exceptions, SumOf[v1alpha1.Exception]),
		Protected:  sorted(p.Protected, func(ns string) string { return ns }),
		Baseline:   sorted(p.Baseline, Policy.Key),
	}
	if len(p.Waves) > 0 {
		d.Waves, d.Wave = p.Waves, p.Wave
	}
	for _, path := range p.Paths {
		d.Paths = append(d.Paths, path.defaulted())
	}
	for _, c := range p.Candidates {
		d.Candidates = append(d.Candidates, decidedCandidate{c.Policy, c.Marks.Labels, c.Marks.Annotations})
	}
	for _, b := range p.Bridges {
		d.Bridges = append(d.Bridges, b.Bridge)
	}
	for _, o := range p.Originals {
		d.Originals = append(d.Originals, decidedOriginal{o.Policy, o.Becomes})
	}
	d.Paths = sorted(d.Paths, func(path v1alpha1.Path) string { return path.Name }) // a plan has each name once
	d.Candidates = sorted(d.Candidates, func(c decidedCandidate) string { return c.Key() })
	d.Bridges = sorted(d.Bridges, func(b rollout.Bridge) string { return b.Namespace + "/" + string(b.Direction) })
	d.Originals = sorted(d.Originals, func(o decidedOriginal) string { return o.Key() })
	return d
}

// sorted is a copy in the order of a key, then of the content. It is nil if empty: one
// codec knows an empty list, and another does not.
func sorted[T any](all []T, key func(T) string) []T {
	if len(all) == 0 {
		return nil
	}
	return slices.SortedFunc(slices.Values(all), func(a, b T) int {
		return cmp.Or(strings.Compare(key(a), key(b)), strings.Compare(SumOf(a), SumOf(b)))
	})
}

// SumOf is SHA-256 of plain data as JSON, in hexadecimal.
func SumOf[T any](v T) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data always marshals
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
