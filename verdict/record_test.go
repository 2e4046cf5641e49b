package verdict

import (
	"fmt"
	"testing"
)

func TestARecordKeepsWhatItHasRoomFor(t *testing.T) {
	most := int32(numberMask)
	for _, p := range []place{
		{},
		{class: most, profiles: [2]int32{most, 0}},
		{class: 1, profiles: [2]int32{2, most}, flags: hostNetwork},
	} {
		r := p.record()
		if r.class() != p.class || r.egress() != int(p.profiles[egress]) || r.ingress() != int(p.profiles[ingress]) ||
			(r&onHostNetwork != 0) != (p.flags&hostNetwork != 0) || r&hindered != 0 {
			t.Errorf("%+v became %x", p, r)
		}
	}
	for _, tt := range []struct {
		place place
		want  record
	}{
		{place{flags: free}, hindered},
		{place{flags: manyAddresses}, hindered},
		{place{flags: orderedOut}, hinderedAsSource},
		{place{flags: byName}, hinderedAsSource},
		{place{flags: orderedIn}, hinderedAsTarget},
		{place{class: most + 1}, hindered},
		{place{profiles: [2]int32{most + 1, 0}}, hindered},
		{place{profiles: [2]int32{0, most + 1}}, hindered},
	} {
		if got := tt.place.record() & hindered; got != tt.want {
			t.Errorf("%+v: hindrances %x, want %x", tt.place, got, tt.want)
		}
	}
}

// A cluster with more classes than a record has room for is decided the long way.
func TestWhatARecordHasNoRoomForIsDecidedTheLongWay(t *testing.T) {
	var pods []Pod
	for i := range 6 {
		pods = append(pods, Pod{Namespace: "ai", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": fmt.Sprint(i % 3)}, HostNetwork: i == 5})
	}
	w := World{Policies: []Policy{
		policy(t, "ai/in", `{podSelector: {matchLabels: {app: "0"}}, ingress: [{from: [{podSelector: {matchLabels: {app: "1"}}}], ports: [{port: 80}]}]}`),
		policy(t, "ai/out", `{podSelector: {matchLabels: {app: "2"}}, policyTypes: [Egress]}`)}}
	s := Compile(w, pods)
	long := *s
	long.records = make([]record, len(s.records))
	for i := range long.records {
		long.records[i] = hindered
	}
	for from := range s.Pods() {
		for to := range s.Pods() {
			if a, b, c := s.Decide(from, to, 80, ""), long.Decide(from, to, 80, ""), long.On(80, "").Decide(from, to); a != b || a != c {
				t.Errorf("%d to %d: %s, the long way %s and %s", from, to, a, b, c)
			}
		}
	}
}
