package operator

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

func TestAPlanIsReadBackAsStored(t *testing.T) {
	b, p := newBench(t), aPlan()
	armed, err := savePlan(t.Context(), b.Write, b.api, p)
	b.must(err)
	again, err := savePlan(t.Context(), b.Write, b.api, p) // an operator that was stopped before it armed
	b.must(err)
	if again != armed || !strings.HasPrefix(armed, "sha256:") {
		t.Errorf("the same plan has digests %s and %s", armed, again)
	}
	back, err := loadPlan(t.Context(), b.api, p.Run, armed)
	b.must(err)
	if back.stored != armed || back.RunUID != p.RunUID || back.Candidates[0].Object != p.Candidates[0].Object {
		t.Errorf("read back %+v with digest %s, armed was %s", back, back.stored, armed)
	}
	p.Candidates[0].Spec.PodSelector = rollout.MatchNothing()
	if other, err := savePlan(t.Context(), b.Write, b.api, p); err != nil || other == armed {
		t.Errorf("another selector: digest %s, %v", other, err)
	}
	p.RunUID = "a run that has the name now"
	if _, err := savePlan(t.Context(), b.Write, b.api, p); !errors.As(err, new(*writer.NotOursError)) {
		t.Errorf("got %v, want a refusal to replace the snapshot of another run", err)
	}
}

// TestWhatAnArmedPlanMayLookLike stores JSON as other releases, and other hands,
// would have.
func TestWhatAnArmedPlanMayLookLike(t *testing.T) {
	raw, err := json.Marshal(aPlan())
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, tt := range []struct {
		name, text string
		lost       bool
	}{
		{"this release's", text, false},
		{"an older one's, with a field less", strings.Replace(text, `"clusterDomain":"",`, "", 1), false},
		{"a newer one's, with a field more", strings.Replace(text, `{`, `{"quorum":[{"name":"data"}],`, 1), false},
		{"a newer one's of the same major version", strings.Replace(text, plan.Schema, plan.Schema+".7", 1), false},
		{"an older one's, of the major version before", strings.Replace(text, plan.Schema, "tightrope.dev/plan/v1", 1), false},
		{"a newer one's of another major version", strings.Replace(text, plan.Schema, "tightrope.dev/plan/v10", 1), true},
		{"no JSON", text[:len(text)/2], true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.text == text && tt.name != "this release's" {
				t.Fatal("nothing was replaced in the plan")
			}
			text := zipped(t, tt.text)
			data, _ := json.Marshal(plan.Stored{Plan: text})
			b := newBench(t, revisionOf(data))
			if _, err := loadPlan(t.Context(), b.api, "r-1", plan.DigestOfText(text)); tt.lost != errors.Is(err, errPlanLost) || !tt.lost && err != nil {
				t.Errorf("got %v; want lost: %v", err, tt.lost)
			}
			if _, err := loadPlan(t.Context(), b.api, "r-1", plan.DigestOfText("another")); !errors.Is(err, errPlanLost) {
				t.Errorf("armed with another digest: got %v, want errPlanLost", err)
			}
		})
	}
	for name, b := range map[string]bench{
		"gone": newBench(t), "as plain JSON": newBench(t, revisionOf(raw)),
	} {
		if _, err := loadPlan(t.Context(), b.api, "r-1", "sha256:0"); !errors.Is(err, errPlanLost) {
			t.Errorf("%s: got %v, want errPlanLost", name, err)
		}
	}
}

func revisionOf(data []byte) client.Object {
	key := plan.Revision("r-1")
	return &appsv1.ControllerRevision{ObjectMeta: aPlan().key().Meta(key.Namespace, key.Name, roleSnapshot), Data: runtime.RawExtension{Raw: data}, Revision: 1}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if _, err := zip.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// A run goes on after a restart with the snapshot that it is armed with, and no other;
// one that an earlier release armed has the snapshot's digest in planDigest.
func TestARestartedControllerVerifiesTheSnapshot(t *testing.T) {
	p := aPlan()
	for name, arm := range map[string]func(st *v1alpha1.PolicyRolloutRunStatus, armed string){
		"armed by this release": func(st *v1alpha1.PolicyRolloutRunStatus, armed string) {
			st.PlanDigest, st.SnapshotDigest = p.Digest(), armed
		},
		"armed by an earlier release": func(st *v1alpha1.PolicyRolloutRunStatus, armed string) { st.PlanDigest = armed },
	} {
		for _, changed := range []bool{false, true} {
			b := newBench(t)
			b.sessions, b.base = map[types.NamespacedName]*session{}, t.Context()
			armed, err := savePlan(t.Context(), b.Write, b.api, p)
			b.must(err)
			if changed {
				armed = plan.DigestOfText("what was there when the run was armed")
			}
			run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: p.Run, UID: p.RunUID}}
			arm(&run.Status, armed)
			s, err := b.session(t.Context(), run)
			b.must(err)
			if errors.Is(s.lost, errPlanLost) != changed || (s.plan == nil) != changed {
				t.Errorf("%s, snapshot changed: %v: plan %v, lost: %v", name, changed, s.plan, s.lost)
			}
			if !changed {
				s.fillStatus(run, turn{next: rollout.State{Phase: v1alpha1.PhaseObserve}}, nil)
				if st := run.Status; st.SnapshotDigest != armed || st.PlanDigest != p.Digest() {
					t.Errorf("%s: the next turn wrote planDigest %s and snapshotDigest %s", name, st.PlanDigest, st.SnapshotDigest)
				}
			}
			s.close()
		}
	}
}
