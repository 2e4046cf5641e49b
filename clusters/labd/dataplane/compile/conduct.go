package compile

import "github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"

// Conduct is what becomes of packets besides what policies say: those of open
// connections, and those that are denied. The zero Conduct lets connections live
// once they were let in, and drops.
//
// With Cut a connection passes as long as it was judged in this Generation: it
// then has the generation as its tag. Else its next packet in the direction of
// the first one is judged like a new connection's, and either the tag is renewed
// or the connection is tagged as cut, and answers do not pass any more, either.
type Conduct struct {
	Cut        bool
	Reject     bool   // tell the sender of a denied packet
	Generation uint32 // with Cut: above 0, below 1<<31; another one has all connections judged again
}

const cutTag = 1 << 31

// Names of the chains that Conduct is made of.
const (
	chainEstablished = "established" // packets of known connections, before policies
	chainDenied      = "denied"      // what no policy allowed; nothing comes back from here
	chainJudged      = "judged"      // what got through
)

// judgedPriority is behind all translations of addresses.
const judgedPriority = 300

// SetConduct changes the conduct; those of pods' chains stay as they are.
func (c *Compiler) SetConduct(k Conduct) {
	f := newFragment()
	var denied []ruleset.Rule
	if k.Cut {
		f.chains[chainEstablished] = ruleset.Chain{Rules: []ruleset.Rule{
			{Direction: ruleset.Reply, Tagged: k.Generation | cutTag, Action: ruleset.Jump, Target: chainDenied},
			{Direction: ruleset.Reply, Action: ruleset.Accept},
			{Tagged: k.Generation, Action: ruleset.Accept},
		}}
		f.chains[chainJudged] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Postrouting, Priority: judgedPriority},
			Rules: []ruleset.Rule{{Direction: ruleset.Original, Tag: k.Generation}}}
		denied = append(denied, ruleset.Rule{Established: true, Tag: k.Generation | cutTag})
	} else {
		f.chains[chainEstablished] = ruleset.Chain{Rules: []ruleset.Rule{{Action: ruleset.Accept}}}
	}
	if k.Reject {
		denied = append(denied, ruleset.Rule{Proto: ruleset.TCP, Action: ruleset.RejectReset}, ruleset.Rule{Action: ruleset.RejectProhibited})
	} else {
		denied = append(denied, ruleset.Rule{Action: ruleset.Drop})
	}
	f.chains[chainDenied] = ruleset.Chain{Rules: denied}
	c.replace("conduct", f)
}
