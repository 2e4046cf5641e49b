package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

// The states are made one out of the other, and judge as worlds do that are made for
// themselves: the bridged one has what is kept, what is new, what goes and the bridges.
func TestEachStateJudgesAsAWorldOfItsOwn(t *testing.T) {
	differ := 0
	for seed := range uint64(300) {
		c := randomChange(rand.New(rand.NewPCG(seed, 13)))
		bridges, err := Bridges(c.World.Policies, c.Candidates)
		if err != nil {
			t.Fatal(err)
		}
		bridged := c.World
		bridged.Policies = slices.Concat(c.kept(), c.news())
		for i, p := range c.replaced() {
			p.Name = fmt.Sprint("goes-", i)
			bridged.Policies = append(bridged.Policies, p)
		}
		for i, b := range bridges {
			bridged.Policies = append(bridged.Policies, verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprint("bridge-", i), Spec: BridgeSpec(b, b.Selector)})
		}
		apart := states{AtBaseline: verdict.Compile(c.World, c.Pods), AtBridged: verdict.Compile(bridged, c.Pods), AtEnforced: verdict.Compile(c.After(), c.Pods)}
		together := compile(c, bridges)
		for _, e := range everyEdge(c.Pods) {
			var got, want [3]verdict.Decision
			for s := range apart {
				got[s], want[s] = together[s].Judge(e.Conn).Decision, apart[s].Judge(e.Conn).Decision
			}
			if got != want {
				t.Fatalf("seed %d: %s -> %s is %v, and in worlds of their own %v", seed, e.Conn.From, e.Conn.To, got, want)
			}
			if want[AtBaseline] != want[AtBridged] || want[AtBridged] != want[AtEnforced] {
				differ++
			}
		}
	}
	if differ < 500 {
		t.Errorf("only %d connections are judged differently in the states", differ)
	}
}
