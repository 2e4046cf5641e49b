package dataplane

import (
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// temper is how a node's data plane behaves: it stands between the watches and
// the compiler, and lets policies through when its profile does. The agent's lock
// guards it.
type temper struct {
	base    profile.Profile // without an annotation of the Node
	wanted  profile.Profile
	is      profile.Profile // what lens and compiler have been told
	lens    *profile.Lens
	misread map[compile.Key]compile.Problem // policies whose annotation counts for nothing

	generation uint32    // of connections that were judged
	judgeAt    time.Time // when all are judged again; zero: nothing changed since they were
	wake       *time.Timer
}

func newTemper(node string, base profile.Profile) *temper {
	// A generation that no connection can have of an agent before this one.
	first := uint32(time.Now().Unix())&(1<<30-1) | 1
	return &temper{base: base, wanted: base, lens: profile.NewLens(node), misread: map[compile.Key]compile.Problem{}, generation: first}
}

// hear takes news of a policy; p is nil when it is gone.
func (t *temper) hear(now time.Time, key compile.Key, p *networkingv1.NetworkPolicy) {
	err := t.lens.Hear(now, types.NamespacedName(key), p)
	delete(t.misread, key)
	if err != nil {
		t.misread[key] = compile.Problem{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
			Field: "metadata.annotations[" + profile.Annotation + "]", Message: err.Error() + ": the annotation counts for nothing"}
	}
}

// settle hands what is in force by now to the compiler, and has another look
// taken when that changes by itself.
func (t *temper) settle(now time.Time, c *compile.Compiler, look func()) {
	retuned := t.wanted != t.is
	if retuned {
		t.is = t.wanted
		t.lens.Tune(now, t.is)
	}
	changed, next := t.lens.Settle(now)
	for key, p := range changed {
		c.SetPolicy(compile.Key(key), p)
	}
	if t.judge(now, retuned || c.Changed()) || retuned {
		c.SetConduct(compile.Conduct{Cut: t.is.Cut, Reject: t.is.Reject, Generation: t.generation})
	}
	if t.wake != nil {
		t.wake.Stop()
	}
	if !t.judgeAt.IsZero() && (next.IsZero() || t.judgeAt.Before(next)) {
		next = t.judgeAt
	}
	if !next.IsZero() {
		t.wake = time.AfterFunc(next.Sub(now), look)
	}
}

// judge says whether open connections are to be judged again now, because of a
// change that the profile has waited for long enough.
func (t *temper) judge(now time.Time, changed bool) bool {
	if !t.is.Cut {
		t.judgeAt = time.Time{}
		return false
	}
	if changed && t.judgeAt.IsZero() {
		t.judgeAt = now.Add(t.is.CutAfter)
	}
	if t.judgeAt.IsZero() || now.Before(t.judgeAt) {
		return false
	}
	t.judgeAt = time.Time{}
	t.generation++
	return true
}
