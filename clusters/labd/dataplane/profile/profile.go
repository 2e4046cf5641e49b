// Package profile describes. A Profile is how a data plane behaves where real
// ones differ: what becomes of open connections, what a denied sender hears, how
// late a policy is enforced, and what goes wrong with updates. Parse reads one
// from a line of text, a Lens shows policies as such a data plane has got to
// know them. Nothing here touches the kernel or the API.
package profile

import (
	"fmt"
	"strings"
	"time"
)

// Annotation on a Node changes its data plane's profile as long as it is there;
// keys that it leaves out are as the lab was started. On a NetworkPolicy it may
// have the keys of OfPolicy.
const Annotation = "lab.tightrope.dev/dataplane"

// Profile is how a data plane behaves. The zero Profile enforces at once, lets
// open connections live, drops what is denied and loses nothing.
type Profile struct {
	Ignore   bool          // policies are accepted and not enforced
	Cut      bool          // connections that are open when a policy forbids them end
	CutAfter time.Duration // with Cut: how long they live on; 0 means not at all
	Reject   bool          // a denied sender is told (TCP reset, ICMP prohibited) instead of left waiting
	Delay    Delay         // from a policy's news to its enforcement
	Updates  Updates       // what becomes of an update of a policy that is in force
	Resync   time.Duration // with Updates: how long until it is repaired; 0 means never
	Seed     uint64        // of the Delay's random numbers
}

// Updates says what happens when a policy that is in force is changed.
type Updates string

// The fates of an update. The zero value applies it.
const (
	Applied Updates = ""
	Stale   Updates = "stale" // the rules of before stay until the resync
	Lost    Updates = "lost"  // the policy's rules are gone until the resync
)

// key is one key of the text: how to read and write its value.
type key struct {
	name   string
	values string // as an error lists them
	policy bool   // allowed on a NetworkPolicy
	set    func(p *Profile, value string) bool
	get    func(p Profile) string // "" for what the zero Profile has
}

var keys = []key{
	{"policies", "enforce or ignore", true, setPolicies, getPolicies},
	{"established", "survive, cut, or cut:DURATION", false, setEstablished, getEstablished},
	{"deny", "drop or reject", false, choice(func(p *Profile) *bool { return &p.Reject }, "drop", "reject"),
		func(p Profile) string { return word(p.Reject, "reject") }},
	{"delay", "a duration, a range as 200ms..2s, or exp:MEAN", true, setDelay, func(p Profile) string { return p.Delay.String() }},
	{"updates", "apply, stale or lost", true, setUpdates, func(p Profile) string { return string(p.Updates) }},
	{"resync", "a duration, or never", true, setResync, getResync},
	{"seed", "a number", false, setSeed, getSeed},
}

// Parse reads items separated by commas, KEY=VALUE or one of the words enforce
// and ignore, on top of base. An error says what would have been right.
func Parse(text string, base Profile) (Profile, error) { return parse(text, base, false) }

// OfPolicy reads a NetworkPolicy's annotation on top of its node's profile. Only
// what concerns one policy can be changed there.
func OfPolicy(text string, base Profile) (Profile, error) { return parse(text, base, true) }

func parse(text string, base Profile, policy bool) (Profile, error) {
	p := base
	for item := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(item), "=")
		if !found && (name == "enforce" || name == "ignore") {
			name, value = "policies", name
		}
		if name == "" && !found {
			continue
		}
		k, known := lookUp(name, policy)
		switch {
		case !known:
			return base, fmt.Errorf("data plane %.100q: no key %.40q here; there are %s, and the words enforce and ignore", text, name, names(policy))
		case !k.set(&p, value):
			return base, fmt.Errorf("data plane %.100q: %s=%.40q: want %s", text, name, value, k.values)
		}
	}
	if p.Resync > 0 && p.Updates == Applied {
		return base, fmt.Errorf("data plane %.100q: resync is only of use with updates=stale or updates=lost", text)
	}
	return p, nil
}

func lookUp(name string, policy bool) (key, bool) {
	for _, k := range keys {
		if k.name == name && (k.policy || !policy) {
			return k, true
		}
	}
	return key{}, false
}

func names(policy bool) string {
	var all []string
	for _, k := range keys {
		if k.policy || !policy {
			all = append(all, k.name)
		}
	}
	return strings.Join(all, ", ")
}

// String is what Parse would read: enforce or ignore, then what differs from the
// zero Profile.
func (p Profile) String() string {
	items := []string{"enforce"}
	if p.Ignore {
		items[0] = "ignore"
	}
	for _, k := range keys[1:] {
		if v := k.get(p); v != "" {
			items = append(items, k.name+"="+v)
		}
	}
	return strings.Join(items, ",")
}
