package repair

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
)

// others are the pods in the namespace of the pod that are no replicas of it.
func (o Options) others(p *verdict.Pod) []*verdict.Pod {
	var all []*verdict.Pod
	if p == nil {
		return nil
	}
	own := o.Workload(p)
	for i := range o.Pods {
		q := &o.Pods[i]
		if q.Namespace == p.Namespace && q.Name != p.Name && o.Workload(q) != own {
			all = append(all, q)
		}
	}
	return all
}

func (o Options) tell(p *verdict.Pod) Told {
	if p == nil {
		return Told{}
	}
	return Tell(o.Fixed(p), o.others(p))
}

func (o Options) unlabelled(p *verdict.Pod) string {
	return fmt.Sprintf("No policy can be about %s alone: it has no label that stays the same, and a selector without labels takes every pod of %s. "+
		"Give its pods a label of their own (in the pod template of their workload), and then allow that label.", p.Key(), p.Namespace)
}

// maxPairs bounds what is judged to find out what else an addition allows.
const maxPairs = 4096

// besides are the other connections on the port that were denied and are allowed.
func (o Options) besides(before, after *verdict.Snapshot, c verdict.Conn) []string {
	var all []string
	seen := map[string]bool{}
	sources, targets := o.beside(c.From), o.beside(c.To)
	for i, from := range sources {
		for j, to := range targets {
			if i+j == 0 || i*len(targets)+j > maxPairs {
				continue
			}
			pair := verdict.Conn{From: from, To: to, Port: c.Port, Protocol: c.Protocol}
			if after.Judge(pair).Decision != verdict.Allow || before.Judge(pair).Decision != verdict.Deny {
				continue
			}
			if text := from.String() + " to " + to.String(); !seen[text] {
				seen[text] = true
				all = append(all, text)
			}
		}
	}
	slices.Sort(all)
	return all
}

// beside are the end and one pod of each other workload of its namespace: a
// rule's selectors take pods of that namespace only.
func (o Options) beside(e verdict.End) []verdict.End {
	all := []verdict.End{e}
	if e.Pod == nil {
		return all
	}
	seen := map[string]bool{}
	for _, p := range o.others(e.Pod) {
		if key := o.Workload(p) + fmt.Sprint(o.Fixed(p)); !seen[key] {
			seen[key] = true
			all = append(all, verdict.End{Pod: p})
		}
	}
	return all
}

func keys(pods []*verdict.Pod) []string {
	var all []string
	for _, p := range pods {
		all = append(all, p.Key())
	}
	slices.Sort(all)
	return all
}

// brief lists the first three.
func brief(all []string) string {
	if more := len(all) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:3], ", "), more)
	}
	return strings.Join(all, " and ")
}
