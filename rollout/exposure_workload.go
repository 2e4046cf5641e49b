package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// perReplica are label keys that controllers give each pod or each revision a
// value of its own for. They do not tell workloads apart.
var perReplica = map[string]bool{
	"pod-template-hash": true, "controller-revision-hash": true, "pod-template-generation": true,
	"statefulset.kubernetes.io/pod-name": true, "apps.kubernetes.io/pod-index": true,
	"controller-uid": true, "batch.kubernetes.io/controller-uid": true,
	"job-name": true, "batch.kubernetes.io/job-name": true, "batch.kubernetes.io/job-completion-index": true,
}

// WorkloadByLabels tells workloads apart by namespace and labels, where nothing
// better is known: those that controllers and rollouts set are left out. The
// result is a key, not a name for people.
func WorkloadByLabels(p *verdict.Pod) string {
	var all []string
	for key, value := range p.Labels {
		if !perReplica[key] && !strings.HasPrefix(key, labelPrefix) {
			all = append(all, fmt.Sprintf("%q=%q", key, value))
		}
	}
	slices.Sort(all)
	return fmt.Sprintf("%q %s", p.Namespace, all)
}

// byWorkload splits the pods of a class, in the order of their first pods.
func byWorkload(c *class.Class, name func(*verdict.Pod) string) []*class.Class {
	var all []*class.Class
	index := map[string]*class.Class{}
	for _, m := range c.Members {
		key := name(m.Is)
		w, ok := index[key]
		if !ok {
			w = &class.Class{}
			index[key] = w
			all = append(all, w)
		}
		w.Members = append(w.Members, m)
	}
	return all
}
