package preview

import (
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/rollout"
)

// The controller's preflight has the last word on what would be refused: what it refuses
// is, and what it accepts is not.
func TestPreflightHasTheLastWord(t *testing.T) {
	holds := []Path{{Name: "other", Finding: Inconclusive}, {Name: "path", Finding: Holds}}
	work := []rollout.Selection{{Policy: "a/b"}}
	own := rollout.Summary{Refusals: []string{"what plan alone refuses"}, Selected: work}
	for _, tt := range []struct {
		name      string
		preview   Preview
		preflight Preflight
		result    Result
		act       Act
		says, not []string
	}{
		{"it refuses", Preview{Paths: holds}, Preflight{Refused: []string{"a thing is wrong"}, Repairs: []string{"kubectl repair"}, Unseen: []string{"the rest"}}, Refused, Refuse,
			[]string{"WHAT THE CONTROLLER WOULD REFUSE: 1", "REFUSED  a thing is wrong", "kubectl repair", "NOT LOOKED AT", "the rest", "and no exception changes that"}, nil},
		{"both refuse", Preview{Paths: holds, Summary: own}, Preflight{Refused: []string{"what plan alone refuses", "and this"}}, Refused, Refuse,
			[]string{"WHAT THE CONTROLLER WOULD REFUSE: 2", "REFUSED  and this"}, nil},
		{"it accepts", Preview{Paths: holds[1:], Summary: own}, Preflight{}, Clean, Try, nil, []string{"REFUSED", "NOT LOOKED AT"}},
		{"it sees a cut", Preview{Paths: holds}, Preflight{Cuts: []PreflightCut{{Path: "path", Rule: "no rule allows it", Add: "this rule"}}}, Breaks, Refuse,
			[]string{"CUT  path\n       no rule allows it", "this rule", "1 path would be cut"}, []string{"REFUSED"}},
		{"it sees no cut", Preview{Paths: []Path{{Name: "path", Finding: Cut}}}, Preflight{}, Breaks, Try, []string{"CUT  path"}, []string{"would refuse"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.preview
			p.Paths, p.Summary.Selected = append([]Path{}, p.Paths...), work
			p.Confirm(tt.preflight)
			if p.Result() != tt.result || p.Controller != tt.act {
				t.Errorf("result %s, and the controller would %s; want %s and %s", p.Result(), p.Controller, tt.result, tt.act)
			}
			var b strings.Builder
			if err := p.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.says {
				if !strings.Contains(b.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, &b)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(b.String(), not) {
					t.Errorf("it says %q:\n%s", not, &b)
				}
			}
			if d := p.Document(); len(d.Refusals) != len(p.Refusals()) || len(d.Unseen) != len(tt.preflight.Unseen) {
				t.Errorf("the document has %q, unseen %q", d.Refusals, d.Unseen)
			}
		})
	}
}
