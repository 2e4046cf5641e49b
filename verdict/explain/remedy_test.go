package explain

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

// remedySets names folders of manifests, separated by colons, whose denials are
// tried besides those of the sets in the repository: each file or folder below one
// is a set, as in the test of lint's corrections.
const remedySets = "TIGHTROPE_REMEDY_SETS"

// For every denial between two workloads on a port that somebody declares: what is
// offered allows it, and nothing else changes but what is said with it.
func TestAnAdditionChangesWhatItSays(t *testing.T) {
	denied, offered := 0, 0
	for name, set := range remedied(t) {
		x := &explainer{set: set, snapshot: verdict.Compile(set.World, set.Pods)}
		pods := oneOfEach(x)
		for _, from := range pods {
			for _, to := range pods {
				for _, port := range append([]verdict.Port{{Number: 4567}}, to.Ports...) {
					c := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port.Number, Protocol: port.Protocol}
					if from == to || x.snapshot.Judge(c).Decision != verdict.Deny {
						continue
					}
					denied++
					if changesOnly(t, name, x, pods, c) {
						offered++
					}
				}
			}
		}
	}
	t.Logf("%d denials, %d with something to add", denied, offered)
	if offered < 100 {
		t.Errorf("only %d additions were tried", offered)
	}
}

// changesOnly tries what is offered for one denial; false where nothing is, which
// then has a reason.
func changesOnly(t *testing.T, name string, x *explainer, pods []*verdict.Pod, c verdict.Conn) bool {
	t.Helper()
	one := &explainer{set: x.set, snapshot: x.snapshot, conn: c, verdict: x.snapshot.Judge(c), owners: x.owners}
	r := one.repair()
	if len(r.Additions) == 0 {
		if r.Why == "" {
			t.Errorf("%s: %v: neither something to add nor a reason", name, c)
		}
		return false
	}
	if len(r.Besides) > 0 && one.told(c.From.Pod) && one.told(c.To.Pod) {
		t.Errorf("%s: the addition for %s to %s on %d also allows %v, and labels tell those apart\n%s", name, c.From, c.To, c.Port, r.Besides, r)
	}
	after := verdict.Compile(r.World, nil)
	if v := after.Judge(c); v.Decision != verdict.Allow {
		t.Errorf("%s: %s to %s on %d, with what is offered: %s", name, c.From, c.To, c.Port, v.Reason)
	}
	for _, port := range []int32{c.Port, c.Port + 1} {
		for _, from := range pods {
			for _, to := range pods {
				d := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port, Protocol: c.Protocol}
				was, is := x.snapshot.Judge(d).Decision, after.Judge(d).Decision
				meant := port == c.Port && (from == c.From.Pod && to == c.To.Pod || slices.Contains(r.Besides, from.Key()+" to "+to.Key()))
				if was != is && (!meant || is != verdict.Allow) {
					t.Errorf("%s: the addition for %s to %s on %d makes %s to %s on %d %s, which was %s\n%s", name, c.From, c.To, c.Port, from.Key(), to.Key(), port, is, was, r)
				}
			}
		}
	}
	return true
}

// told reports whether some label of the pod's, or several, tells it from the other
// workloads of its namespace.
func (x *explainer) told(p *verdict.Pod) bool {
	var others []*verdict.Pod
	for i := range x.set.Pods {
		if q := &x.set.Pods[i]; q.Namespace == p.Namespace && x.workload(q) != x.workload(p) {
			others = append(others, q)
		}
	}
	return len(repair.Tell(x.fixed(p), others).Also) == 0
}

// oneOfEach is a pod of each workload that has a name of its own, at most 12.
func oneOfEach(x *explainer) []*verdict.Pod {
	var all []*verdict.Pod
	for _, w := range x.set.Workloads {
		if len(w.Pods) > 0 && len(all) < 12 {
			all = append(all, &x.set.Pods[w.Pods[0]])
		}
	}
	return all
}

// remedied are the sets by name: reported cases, public sets, and those that the
// environment names.
func remedied(t *testing.T) map[string]*manifest.Set {
	t.Helper()
	all := map[string]*manifest.Set{}
	add := func(name, text string) {
		if set, err := manifest.ReadStream(name, strings.NewReader(text), manifest.Options{}); err == nil {
			all[name] = set
		}
	}
	archives, err := filepath.Glob("../lint/testdata/*/*.txtar")
	if err != nil || len(archives) < 50 {
		t.Fatalf("%d archives beside lint: %v", len(archives), err)
	}
	for _, file := range archives {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			add(filepath.Base(file)+" "+f.Name, string(f.Data))
		}
	}
	for _, root := range append([]string{"../lint/testdata/corpus"}, filepath.SplitList(os.Getenv(remedySets))...) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			raw, err := os.ReadFile(path)
			add(path, string(raw))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
