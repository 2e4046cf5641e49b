package plan

import (
	"encoding/json"
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a commit writes on an object is taken off again to the letter, also from the
// stored form; what somebody else wrote in its place meanwhile stays.
func TestMarksAreTakenBack(t *testing.T) {
	object := func() *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Labels: map[string]string{"team": "ai", "tier": "1", "same": "s"}}
	}
	want := MarksOf(&metav1.ObjectMeta{Labels: map[string]string{"tier": "2", "new": "n", "same": "s"}, Annotations: map[string]string{"doc": "d"}})
	set, was := want.Changing(object())
	for _, m := range []*Marks{&set, &was} { // as a note or a plan keeps them
		raw, err := json.Marshal(m)
		if err == nil {
			*m = Marks{}
			err = json.Unmarshal(raw, m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := set.Labels["same"]; ok || len(set.Labels) != 2 || len(was.Labels) != 2 || was.Labels["new"] != nil {
		t.Errorf("set %v, was %v", set, was)
	}
	o := object()
	set.On(o)
	if w := map[string]string{"team": "ai", "tier": "2", "new": "n", "same": "s"}; !maps.Equal(o.Labels, w) || o.Annotations["doc"] != "d" {
		t.Errorf("the commit makes %v %v", o.Labels, o.Annotations)
	}
	o.Labels["later"] = "l"
	was.Instead(set, o)
	if w := map[string]string{"team": "ai", "tier": "1", "same": "s", "later": "l"}; !maps.Equal(o.Labels, w) || len(o.Annotations) != 0 {
		t.Errorf("taken back it is %v %v", o.Labels, o.Annotations)
	}
	o = object()
	set.On(o)
	o.Labels["tier"] = "3"
	was.Instead(set, o)
	if o.Labels["tier"] != "3" {
		t.Errorf("somebody wrote tier=3 meanwhile, and it is %q", o.Labels["tier"])
	}
}
