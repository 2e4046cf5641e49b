package plan

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

func policy(name string) Policy {
	return Policy{Namespace: "a", Name: name, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, PolicyTypes: []networkingv1.PolicyType{"Ingress"}}}
}

func path(name string) Path {
	return Path{Path: v1alpha1.Path{Name: name, From: "one", Expect: v1alpha1.ExpectAllow,
		To: v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: "a", Name: "s", Port: 80}}}, WitnessPath: -1}
}

// aPlan has two of everything.
func aPlan() *Plan {
	return &Plan{
		Schema: Schema, Run: "r-1", RunUID: "u", Rollout: "a/r", PodEnding: PodEnding, Home: "h", ClusterDomain: "cluster.local",
		Sources: []v1alpha1.Source{{Kind: "ConnectivitySuite", Name: "s1"}, {Kind: "ConnectivitySuite", Name: "s2"}},
		Account: types.NamespacedName{Namespace: "a", Name: "roller"},
		Steps: []rollout.StepPlan{{Name: "observe", Phase: v1alpha1.PhaseObserve},
			{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone, MaxPods: intstr.FromInt32(1), Gate: rollout.Gate{Soak: time.Second, MinCoveragePercent: 95}}},
		Limits: rollout.Limits{Inconclusive: time.Minute}, Interval: time.Second, Timeout: time.Second, Budget: 1e-6,
		Identities: []v1alpha1.Identity{{Name: "one", Namespace: "a"}, {Name: "two", Namespace: "a"}},
		Paths:      []Path{path("p1"), path("p2")},
		Candidates: []Candidate{{Policy: policy("c1"), Object: "o1",
			Marks: Marks{Labels: map[string]*string{"l": new("v")}, Annotations: map[string]*string{"a": new("v")}}}, {Policy: policy("c2"), Object: "o2"}},
		Bridges: []Bridge{{rollout.Bridge{Namespace: "a", Direction: "Ingress", Selector: policy("x").Spec.PodSelector}, "b1"},
			{rollout.Bridge{Namespace: "a", Direction: "Ingress", Selector: policy("y").Spec.PodSelector}, "b2"}},
		Originals:  []Original{{Policy: policy("c1"), UID: "1", Becomes: "sum", Set: Marks{Labels: map[string]*string{"l": new("v")}}, Was: Marks{Labels: map[string]*string{"l": nil}}}, {Policy: policy("gone"), UID: "2"}},
		Baseline:   []Policy{policy("c1"), policy("gone")},
		Exceptions: []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: "p1", Reason: "x"}, {Type: v1alpha1.ExceptionPredictedCut, Path: "p2", Reason: "y"}},
		Protected:  []string{"n", "m"},
		Waves:      []rollout.Wave{{Name: "a", Policies: []string{"a/c1", "a/c2", "a/gone"}}, {Name: "b", Policies: []string{"b/c"}}}, Wave: 1,
	}
}

// fields says of every field of a plan whether the digest covers it. What is not here
// has not been thought about.
var fields = map[string]bool{
	"Plan.Schema": false, "Plan.Run": false, "Plan.RunUID": false, "Plan.Rollout": false, "Plan.Sources": false,
	"Plan.PodEnding": false, "Plan.Home": false, "Plan.ClusterDomain": false,
	"Plan.Account": true, "Plan.Steps": true, "Plan.Limits": true, "Plan.Interval": true, "Plan.Timeout": true, "Plan.Budget": true,
	"Plan.Identities": true, "Plan.Paths": true, "Plan.Candidates": true, "Plan.Bridges": true, "Plan.Originals": true,
	"Plan.Baseline": true, "Plan.Exceptions": true, "Plan.Protected": true, "Plan.Waves": true, "Plan.Wave": true,
	"Wave.Name": true, "Wave.Policies": true, "Path.Later": false, // that follows from the policies, and today's pods

	"Path.Path": true, "Path.Asked": true,
	"Path.WitnessPath": false, "Path.WitnessIdentity": false, "Path.WitnessWays": false, "Path.MayFail": false, // by today's pods, or by Exceptions
	"Candidate.Policy": true, "Candidate.Marks": true, "Candidate.Object": false,
	"Marks.Labels": true, "Marks.Annotations": true,
	"Bridge.Bridge": true, "Bridge.Object": false,
	"Original.Policy": true, "Original.Becomes": true, "Original.UID": false, "Original.Fields": false, "Original.Set": false, "Original.Was": false,
	"Policy.Namespace": true, "Policy.Name": true, "Policy.Spec": true,
	"StepPlan.Name": true, "StepPlan.Phase": true, "StepPlan.Scope": true, "StepPlan.MaxPods": true, "StepPlan.Gate": true, "StepPlan.Gates": true,
	"Limits.Preflight": true, "Limits.Inconclusive": true, "Limits.Rollback": true, "Limits.Silence": true,
	"Gate.Soak": true, "Gate.MinCoveragePercent": true,
}

// Every field of a plan is changed once: the digest follows exactly those that it is
// said to cover. A new field fails until somebody has chosen.
func TestEveryFieldIsDigestedOrNot(t *testing.T) {
	was, seen := aPlan().Digest(), map[string]bool{}
	eachField(reflect.ValueOf(&Plan{}).Elem().Type(), func(owner reflect.Type, f reflect.StructField) {
		key := owner.Name() + "." + f.Name
		covered, chosen := fields[key]
		if !chosen {
			t.Errorf("%s is new: say in this test whether the digest covers it, and let decided do so", key)
			return
		}
		seen[key] = true
		p := aPlan()
		if !changeFirst(reflect.ValueOf(p).Elem(), owner, f.Name) {
			t.Fatalf("%s: aPlan has nothing to change", key)
		}
		if changed := p.Digest() != was; changed != covered {
			t.Errorf("%s was changed: the digest is another: %v; want %v", key, changed, covered)
		}
	})
	for key := range fields {
		if !seen[key] {
			t.Errorf("%s is in this test and in no plan", key)
		}
	}
}

// eachField visits the fields of a type and of all that it holds, of this package and
// of rollout, each once.
func eachField(typ reflect.Type, visit func(reflect.Type, reflect.StructField)) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !strings.Contains(typ.PkgPath(), "tightrope/rollout") || typ == reflect.TypeFor[rollout.Bridge]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			visit(typ, typ.Field(i))
			walk(typ.Field(i).Type)
		}
	}
	walk(typ)
}

// changeFirst finds the first value of a type within v and changes one field of it.
func changeFirst(v reflect.Value, owner reflect.Type, field string) bool {
	switch {
	case v.Kind() == reflect.Struct && v.Type() == owner:
		return change(v.FieldByName(field))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && changeFirst(v.Field(i), owner, field) {
				return true
			}
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		return changeFirst(v.Index(0), owner, field)
	}
	return false
}

// change makes a value another one.
func change(v reflect.Value) bool {
	if share, ok := v.Addr().Interface().(*intstr.IntOrString); ok {
		*share = intstr.FromString("7%")
		return true
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "other")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 7)
	case reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			return v.Type().Elem().Kind() != reflect.String || change(v.Index(0))
		}
		v.Set(v.Slice(0, v.Len()-1))
	case reflect.Map:
		for _, key := range v.MapKeys() {
			v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
			return true
		}
		return false
	case reflect.Struct:
		for i := range v.NumField() {
			if change(v.Field(i)) {
				return true
			}
		}
		return false
	default:
		return false
	}
	return true
}

// The order of a list that has none changes nothing; that of the steps does.
func TestOrderThatMeansNothingIsNotDigested(t *testing.T) {
	was := aPlan().Digest()
	for name, turn := range map[string]func(p *Plan){
		"sources": func(p *Plan) { slices.Reverse(p.Sources) }, "identities": func(p *Plan) { slices.Reverse(p.Identities) },
		"paths": func(p *Plan) { slices.Reverse(p.Paths) }, "candidates": func(p *Plan) { slices.Reverse(p.Candidates) },
		"bridges": func(p *Plan) { slices.Reverse(p.Bridges) }, "originals": func(p *Plan) { slices.Reverse(p.Originals) },
		"baseline": func(p *Plan) { slices.Reverse(p.Baseline) }, "exceptions": func(p *Plan) { slices.Reverse(p.Exceptions) },
		"protectedNamespaces": func(p *Plan) { slices.Reverse(p.Protected) },
		"ways":                func(p *Plan) { p.Paths[0].Asked = []v1alpha1.Via{v1alpha1.ViaPodIP, v1alpha1.ViaService} },
	} {
		p := aPlan()
		if turn(p); reflect.DeepEqual(p, aPlan()) {
			t.Fatalf("%s: nothing was turned", name)
		}
		if p.Digest() != was {
			t.Errorf("%s in another order have another digest", name)
		}
	}
	p := aPlan()
	slices.Reverse(p.Steps)
	if p.Digest() == was {
		t.Error("steps in another order have the same digest")
	}
}

// What a suite leaves out is what it would have stated, and a way that this cluster
// cannot try is still one that the author wants.
func TestPathsAreDigestedAsTheirSuiteMeansThem(t *testing.T) {
	was := aPlan().Digest()
	for name, edit := range map[string]func(p *Path){
		"stated defaults": func(p *Path) {
			p.To.Service.Protocol, p.Criticality, p.Probe.Type = "TCP", v1alpha1.CriticalityCritical, v1alpha1.ProbeTCP
			p.Asked = []v1alpha1.Via{v1alpha1.ViaService, v1alpha1.ViaPodIP}
		},
		"one way settled": func(p *Path) { p.Via = []v1alpha1.Via{v1alpha1.ViaPodIP} },
	} {
		p := aPlan()
		if edit(&p.Paths[0]); p.Digest() != was {
			t.Errorf("%s: another digest", name)
		}
	}
	p := aPlan()
	p.Paths[0].Asked = []v1alpha1.Via{v1alpha1.ViaPodIP}
	if p.Digest() == was {
		t.Error("one way asked for: the same digest")
	}
}

// A plan that was stored and read has the digest that it had, also where lists are empty.
func TestADigestSurvivesTheCodec(t *testing.T) {
	for i, p := range []*Plan{aPlan(), {Schema: Schema}, {Schema: Schema, Exceptions: []v1alpha1.Exception{}, Protected: []string{}}} {
		text, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := Decode(text, &back); err != nil {
			t.Fatal(err)
		}
		if back.Digest() != p.Digest() {
			t.Errorf("plan %d: read back with another digest", i)
		}
		if again, _ := Encode(&back); i == 0 && DigestOfText(again) != DigestOfText(text) {
			t.Errorf("plan %d: written again it is another text", i)
		}
	}
}

// TestDigestsStayAsTheyAre: an approval names a digest, and a release that computes
// another one for the same plan takes all approvals away.
func TestDigestsStayAsTheyAre(t *testing.T) {
	const want = "sha256:58aba8d17627f3289cc334c9e745df53473051b6331bd2703206df35b160c511"
	p := aPlan()
	p.Candidates[0].Marks = Marks{} // one without labels has the digest that it had before they were kept
	p.Waves, p.Wave = nil, 1        // a rollout that is one wave has the digest that it had before there were waves
	if got := p.Digest(); got != want {
		t.Errorf("got %s, want %s: name the change in the notes of the release", got, want)
	}
}
