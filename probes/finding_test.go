package probes

import (
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const allow, deny = v1alpha1.ExpectAllow, v1alpha1.ExpectDeny

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		expect v1alpha1.Expectation
		got    Outcome
		alive  Alive
		want   Finding
	}{
		{"an expected path that answers holds", allow, Reached, AliveUnknown, Holds},
		{"a TLS alert is an answer", allow, TLSFailure, AliveUnknown, Holds},
		{"an answer outweighs what we knew of the target", allow, Reached, AliveNo, Holds},
		{"an expected path that times out is cut", allow, TimedOut, AliveUnknown, Cut},
		{"a live target makes no difference to a cut", allow, Refused, AliveYes, Cut},
		{"a name that does not resolve is cut", allow, DNSFailure, AliveUnknown, Cut},
		{"a target that is down says nothing about the policy", allow, Refused, AliveNo, Inconclusive},
		{"an attempt that never left says nothing", allow, Unsent, AliveYes, Inconclusive},
		{"a forbidden path that answers leaks", deny, Reached, AliveUnknown, Leak},
		{"an established connection that is reset is cut", allow, Reset, AliveUnknown, Cut},
		{"a datagram that is refused is cut", allow, PortUnreachable, AliveUnknown, Cut},
		{"a forbidden path that times out holds with a witness", deny, TimedOut, AliveYes, Holds},
		{"a forbidden path that is refused holds with a witness", deny, Refused, AliveYes, Holds},
		{"a forbidden path that is unreachable holds with a witness", deny, Unreachable, AliveYes, Holds},
		{"a reset of an established connection proves no path closed", deny, Reset, AliveYes, Inconclusive},
		{"nor does ICMP from the target's address", deny, PortUnreachable, AliveYes, Inconclusive},
		{"nor does a name that does not resolve", deny, DNSFailure, AliveYes, Inconclusive},
		{"a forbidden path whose handshake fails leaks: it is open", deny, TLSFailure, AliveYes, Leak},
		{"without a witness blocked proves nothing", deny, TimedOut, AliveUnknown, Inconclusive},
		{"nor does it when the target is down", deny, Unreachable, AliveNo, Inconclusive},
		{"a path with no expectation is never judged", "", Reached, AliveYes, Inconclusive},
		{"an outcome of a newer agent proves nothing", allow, "Teleported", AliveYes, Inconclusive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Judge(tt.expect, tt.got, tt.alive); got != tt.want {
				t.Errorf("Judge(%s, %q, %d) = %s, want %s", tt.expect, tt.got, tt.alive, got, tt.want)
			}
		})
	}
}

// Over every input: nothing holds without proof, and the two alarms are never mixed up.
func TestJudgeNeverPassesWithoutProof(t *testing.T) {
	judged := 0
	for _, expect := range []v1alpha1.Expectation{allow, deny, "", "Maybe"} {
		for _, got := range append([]Outcome{"Teleported"}, outcomes...) {
			for _, alive := range []Alive{AliveUnknown, AliveYes, AliveNo} {
				judged++
				f := Judge(expect, got, alive)
				switch {
				case f == Holds && expect == allow && !got.Connected(),
					f == Holds && expect == deny && (!got.Stopped() || alive != AliveYes),
					f == Cut && (expect != allow || !got.Blocked()),
					f == Leak && (expect != deny || !got.Connected()),
					f != Inconclusive && got == Unsent:
					t.Errorf("Judge(%q, %q, %d) = %s", expect, got, alive, f)
				}
			}
		}
	}
	if judged != 4*10*3 {
		t.Fatalf("judged %d inputs", judged)
	}
}

// Every outcome is in exactly one class, and what was stopped was blocked.
func TestOutcomesAreOfOneClass(t *testing.T) {
	stopped := map[Outcome]bool{Refused: true, TimedOut: true, Unreachable: true}
	for _, o := range outcomes {
		if o.Connected() && o.Blocked() || o.Stopped() && !o.Blocked() || o.Stopped() != stopped[o] {
			t.Errorf("%q: connected %v, blocked %v, stopped %v", o, o.Connected(), o.Blocked(), o.Stopped())
		}
		if any := o.Connected() || o.Blocked(); any == (o == Unsent) {
			t.Errorf("%q proves something: %v", o, any)
		}
	}
}

func TestFindingIsWrittenAsItsName(t *testing.T) {
	for _, f := range []Finding{Inconclusive, Holds, Cut, Leak} {
		text, err := f.MarshalText()
		var back Finding
		if err != nil || back.UnmarshalText(text) != nil || back != f || f.String() != string(text) {
			t.Errorf("%v: text %q, error %v, read back as %v", f, text, err, back)
		}
	}
	if _, err := Finding(9).MarshalText(); err == nil {
		t.Error("a finding that does not exist was written")
	}
	if new(Finding).UnmarshalText([]byte("Passed")) == nil {
		t.Error("a finding that does not exist was read")
	}
	var zero Finding
	if zero != Inconclusive {
		t.Errorf("the zero finding is %s", zero)
	}
}
