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
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/rollout"
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
	if back.Digest() != armed || back.RunUID != p.RunUID || back.Candidates[0].Object != p.Candidates[0].Object {
		t.Errorf("read back %+v with digest %s, armed was %s", back, back.Digest(), armed)
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
	plan := string(raw)
	for _, tt := range []struct {
		name, plan string
		lost       bool
	}{
		{"this release's", plan, false},
		{"an older one's, with a field less", strings.Replace(plan, `"clusterDomain":"",`, "", 1), false},
		{"a newer one's, with a field more", strings.Replace(plan, `{`, `{"quorum":[{"name":"data"}],`, 1), false},
		{"a newer one's of the same major version", strings.Replace(plan, planSchema, planSchema+".7", 1), false},
		{"of another major version", strings.Replace(plan, planSchema, "tightrope.dev/plan/v10", 1), true},
		{"no JSON", plan[:len(plan)/2], true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.plan == plan && tt.name != "this release's" {
				t.Fatal("nothing was replaced in the plan")
			}
			text := zipped(t, tt.plan)
			data, _ := json.Marshal(storedPlan{text})
			b := newBench(t, revisionOf(data))
			if _, err := loadPlan(t.Context(), b.api, "r-1", digestOfText(text)); tt.lost != errors.Is(err, errPlanLost) || !tt.lost && err != nil {
				t.Errorf("got %v; want lost: %v", err, tt.lost)
			}
			if _, err := loadPlan(t.Context(), b.api, "r-1", digestOfText("another")); !errors.Is(err, errPlanLost) {
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
	key := planRevision("r-1")
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
