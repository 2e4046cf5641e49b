// Package faults breaks. It does to a lab what happens to clusters: nodes die or
// freeze, networks part, packets are lost, the control plane is away, one
// client's requests fail. Every fault is held by somebody and undone when that
// somebody lets go, however that comes about; a Keeper knows which are held.
//
//	Spec ──Begin──► held ──End──► undone
//	         └─ refused: it is not possible here, or another fault is in its way
package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
)

// Kind is what breaks.
type Kind string

// The kinds of fault.
const (
	Kill      Kind = "kill"      // processes are gone until the end, then started anew
	Pause     Kind = "pause"     // processes stand still
	Partition Kind = "partition" // groups of nodes do not hear each other
	Loss      Kind = "loss"      // a share of the packets between two sets of pods is dropped
	API       Kind = "api"       // requests of one client to the API server are delayed or fail
	Dataplane Kind = "dataplane" // nodes' data planes have another profile
)

// ControlPlane is, in a Partition, the machine that the API server runs on.
const ControlPlane = "control-plane"

// DNS is, in a Kill, all pods that answer DNS.
const DNS = "dns"

// Spec is one fault. Fields that its Kind does not name are empty.
type Spec struct {
	Kind    Kind          `json:"kind"`
	Targets []string      `json:"targets,omitempty"` // Kill, Pause: components; Dataplane: nodes, none means all
	Groups  [][]string    `json:"groups,omitempty"`  // Partition: of nodes; one group is parted from all other nodes
	From    Pods          `json:"from,omitzero"`     // Loss
	To      Pods          `json:"to,omitzero"`       // Loss
	Percent float64       `json:"percent,omitempty"` // Loss: of packets, above 0, at most 100
	OneWay  bool          `json:"oneWay,omitempty"`  // Loss: only packets from From to To
	Rule    apifault.Rule `json:"rule,omitzero"`     // API
	Profile string        `json:"profile,omitempty"` // Dataplane
}

// Pods are the pods whose labels a selector matches, in one namespace or all.
type Pods struct {
	Namespace string `json:"namespace,omitempty"` // "" means all
	Selector  string `json:"selector,omitempty"`  // "" means all pods
}

func (p Pods) String() string {
	where := ""
	if p.Namespace != "" {
		where = " in " + p.Namespace
	}
	if p.Selector == "" {
		return "all pods" + where
	}
	return "pods " + p.Selector + where
}

// String says what the fault is, in a line.
func (s Spec) String() string {
	switch s.Kind {
	case Partition:
		var groups []string
		for _, g := range s.Groups {
			groups = append(groups, strings.Join(g, ","))
		}
		return "partition " + strings.Join(groups, " | ")
	case Loss:
		arrow := "<->"
		if s.OneWay {
			arrow = "->"
		}
		return fmt.Sprintf("loss of %v%% %s %s %s", s.Percent, s.From, arrow, s.To)
	case API:
		return "api " + s.Rule.String()
	case Dataplane:
		return strings.TrimSpace("dataplane " + s.Profile + " " + strings.Join(s.Targets, ","))
	}
	return string(s.Kind) + " " + strings.Join(s.Targets, ",")
}

// check says what is wrong with a fault, for these nodes and other components.
func (s Spec) check(nodes, components []string) error {
	switch s.Kind {
	case Kill, Pause:
		return s.checkTargets(nodes, components)
	case Partition:
		return s.checkGroups(nodes)
	case Loss:
		return s.checkLoss()
	case API:
		return s.Rule.Check()
	case Dataplane:
		for _, t := range s.Targets {
			if !slices.Contains(nodes, t) {
				return unknown("node", t, nodes)
			}
		}
		_, err := profile.Parse(s.Profile, profile.Profile{})
		return err
	}
	return fmt.Errorf("no fault %.40q: there are %s, %s, %s, %s, %s and %s", s.Kind, Kill, Pause, Partition, Loss, API, Dataplane)
}

func unknown(what, name string, known []string) error {
	return fmt.Errorf("no %s %.40q in this lab: there are %s", what, name, strings.Join(known, ", "))
}

func (s Spec) checkTargets(nodes, components []string) error {
	all := slices.Concat(nodes, components)
	if s.Kind == Kill && len(nodes) > 0 {
		all = append(all, DNS)
	}
	if len(s.Targets) == 0 {
		return fmt.Errorf("%s: name what: %s", s.Kind, strings.Join(all, ", "))
	}
	seen := map[string]bool{}
	for _, t := range s.Targets {
		if !slices.Contains(all, t) {
			return unknown("component", t, all)
		}
		if seen[t] {
			return fmt.Errorf("%s: %s is named twice", s.Kind, t)
		}
		seen[t] = true
	}
	return nil
}

func (s Spec) checkGroups(nodes []string) error {
	if len(s.Groups) == 0 {
		return errors.New("partition: name at least one group of nodes")
	}
	group := map[string]bool{}
	for _, g := range s.Groups {
		if len(g) == 0 {
			return errors.New("partition: a group is empty")
		}
		for _, n := range g {
			if n != ControlPlane && !slices.Contains(nodes, n) {
				return unknown("node", n, append(slices.Clone(nodes), ControlPlane))
			}
			if group[n] {
				return fmt.Errorf("partition: %s is named twice", n)
			}
			group[n] = true
		}
	}
	if len(s.Groups) == 1 && !slices.ContainsFunc(nodes, func(n string) bool { return !group[n] }) {
		return errors.New("partition: the group holds every node, so there is nothing to part it from")
	}
	return nil
}

func (s Spec) checkLoss() error {
	if !(s.Percent > 0 && s.Percent <= 100) {
		return fmt.Errorf("loss: %v%% of the packets: want more than 0 and at most 100", s.Percent)
	}
	for _, p := range []Pods{s.From, s.To} {
		if _, err := labels.Parse(p.Selector); err != nil {
			return fmt.Errorf("loss: selector %.100q: %w", p.Selector, err)
		}
	}
	return nil
}

// Held is a fault that is in effect.
type Held struct {
	ID    int       `json:"id"`
	Since time.Time `json:"since"`
	Spec  Spec      `json:"spec"`
	Text  string    `json:"text"`            // of the Spec, a line
	State string    `json:"state,omitempty"` // "beginning", "ending" or, when the end fails, why; "" is in effect
}
