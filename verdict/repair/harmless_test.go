package repair

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// neighbours are pods of one namespace, each given as "name key=value,…".
func neighbours(all ...string) []verdict.Pod {
	var pods []verdict.Pod
	for _, text := range all {
		name, labels, _ := strings.Cut(text, " ")
		p := verdict.Pod{Namespace: "ai", Name: name, Labels: map[string]string{}}
		for _, label := range strings.FieldsFunc(labels, func(r rune) bool { return r == ',' }) {
			key, value, _ := strings.Cut(label, "=")
			p.Labels[key] = value
		}
		pods = append(pods, p)
	}
	return pods
}

// An addition is for its connection: with it, nothing is allowed that was denied,
// but between the replicas of its ends, and nothing is denied that was allowed.
func TestARepairIsForItsConnectionOnly(t *testing.T) {
	const (
		openAll = "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}"
		ofApp   = "{podSelector: {matchLabels: {app: hub}}, policyTypes: [Ingress], ingress: [{ports: [{port: 1}]}]}"
	)
	parts := neighbours("hub app=hub,component=hub", "proxy app=hub,component=proxy", "user app=hub,component=user")
	for _, tt := range []struct {
		name  string
		world verdict.World
		pods  []verdict.Pod // from the first to the second
		want  []string      // in what is said
		not   []string
	}{
		{"beside a policy for every pod", world(t, "all", openAll), neighbours("a app=a", "b app=b", "c app=c"),
			[]string{"a new policy ai/b-80-ingress", "podSelector: {matchLabels: {app: b}}", "podSelector: {matchLabels: {app: a}}"}, []string{"podSelector: {}"}},
		{"beside a policy for several workloads", world(t, "app", ofApp), parts,
			[]string{"a new policy ai/hub-proxy-80-ingress", "{app: hub, component: proxy}", "{app: hub, component: hub}"}, nil},
		{"into a policy for the workload, by labels that tell the peer", world(t, "app", strings.Replace(ofApp, "app: hub", "component: proxy", 1)), parts,
			[]string{"to spec.ingress of ai/app", "{app: hub, component: hub}"}, nil},
		{"nowhere for a peer without labels", world(t, "all", openAll), neighbours("a pod-template-hash=x", "b app=b"),
			[]string{"No policy can be about ai/a alone"}, []string{"podSelector: {}"}},
		{"nowhere for a pod without labels", world(t, "all", openAll), neighbours("a app=a", "b"),
			[]string{"No policy can be about ai/b alone"}, []string{"podSelector: {}"}},
		{"with a word about those that no label tells apart", world(t, "app", ofApp), neighbours("a app=a", "b app=hub", "c app=hub,extra=1", "d app=a,extra=1"),
			[]string{"to spec.ingress of ai/app", "this also allows ai/a to ai/c and ai/d to ai/b and ai/d to ai/c"}, nil},
		{"not by a policy that would isolate another pod",
			world(t, "b", "{podSelector: {matchExpressions: [{key: extra, operator: DoesNotExist}, {key: app, operator: Exists}]}, policyTypes: [Ingress]}"), neighbours("a app=a", "b app=b", "c app=b,extra=1"),
			[]string{"to spec.ingress of ai/b"}, []string{"new policy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			named := func(p *verdict.Pod) string { return p.Name }
			r := Of(tt.world, conn(&tt.pods[0], &tt.pods[1], 80, ""), Options{Pods: tt.pods, Workload: named})
			for _, want := range tt.want {
				if !strings.Contains(r.String(), want) {
					t.Errorf("not said: %s\n%s", want, r)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(r.String(), not) {
					t.Errorf("said: %s\n%s", not, r)
				}
			}
			before, after := verdict.Compile(tt.world, tt.pods), verdict.Compile(r.World, tt.pods)
			for from, p := range before.Pods() {
				for to, q := range before.Pods() {
					was, is := before.Decide(from, to, 80, ""), after.Decide(from, to, 80, "")
					meant := p.Name == tt.pods[0].Name && q.Name == tt.pods[1].Name || slices.Contains(r.Besides, p.Key()+" to "+q.Key())
					if was != is && (!meant || is != verdict.Allow) {
						t.Errorf("%s to %s: %s, was %s", p.Key(), q.Key(), is, was)
					}
				}
			}
		})
	}
}

// Versions and hashes are the last to select by.
func TestLabelsOfAVersionTellOnlyWhereNothingElseDoes(t *testing.T) {
	pods := neighbours("a app=x,helm.sh/chart=1,tier=front,pod-template-hash=1", "b app=x,helm.sh/chart=2,tier=back", "c helm.sh/chart=3")
	told := Tell(Fixed(&pods[0]), []*verdict.Pod{&pods[1]})
	if len(told.Labels) != 2 || told.Labels["tier"] != "front" || len(told.Also) > 0 {
		t.Errorf("got %v", told.Labels)
	}
	if told := Tell(Fixed(&pods[2]), nil); told.Labels["helm.sh/chart"] != "3" {
		t.Errorf("the only label is left out: %v", told.Labels)
	}
	if told := Tell(Fixed(&pods[0], "tier"), []*verdict.Pod{&pods[1]}); told.Labels["helm.sh/chart"] != "1" {
		t.Errorf("got %v", told.Labels)
	}
}

// A selector without labels takes everything, so none is made where others are.
func TestNoSelectorIsEmpty(t *testing.T) {
	pods := neighbours("a", "b app=b")
	r := Of(world(t, "all", closed), conn(&pods[0], &pods[1], 80, ""), Options{})
	if len(r.Additions) > 0 || r.Why == "" {
		t.Errorf("got\n%s", r)
	}
	for _, p := range r.World.Policies {
		if p.Affects(networkingv1.PolicyTypeEgress) && len(p.Spec.Egress) > 0 {
			t.Errorf("%s was changed", p.Key())
		}
	}
}
