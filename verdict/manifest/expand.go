package manifest

import (
	"fmt"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

const (
	alike       = 2     // pods that stand for all of a workload whose pods are judged alike
	maxReplicas = 1_000 // pods of one workload where a selector tells them apart
	unfixed     = "unknown"
)

// plan is how a workload makes its pods.
type plan struct {
	names   func(i int) string            // nil: the names are not known beforehand
	labels  func(i int) map[string]string // that its controller adds
	telling []string                      // keys of these that tell its pods apart
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// running is how many pods a Job runs at once: none once it has finished.
func running(j *batchv1.Job) int32 {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return 0
		}
	}
	return replicas(j.Spec.Parallelism)
}

// enter enters every controller that makes pods. A ReplicaSet of a Deployment
// and a Job of a CronJob are theirs, and no workloads of their own.
func (r *roster) enter(objects raw) {
	for _, d := range objects.deployments {
		r.made(d.Source, d.Object, replicas(d.Object.Spec.Replicas), &d.Object.Spec.Template, plan{}, "pod-template-hash")
	}
	for _, s := range objects.statefulSets {
		r.made(s.Source, s.Object, replicas(s.Object.Spec.Replicas), &s.Object.Spec.Template, statefulSet(s.Object), appsv1.ControllerRevisionHashLabelKey)
		r.adopt(s.Source, s.Object.Spec.Selector, s.Name+"-")
	}
	for _, d := range objects.daemonSets {
		r.made(d.Source, d.Object, -1, &d.Object.Spec.Template, plan{}, appsv1.ControllerRevisionHashLabelKey, "pod-template-generation")
		r.adopt(d.Source, d.Object.Spec.Selector, "")
	}
	for _, c := range objects.cronJobs {
		spec := c.Object.Spec.JobTemplate.Spec
		i := r.made(c.Source, c.Object, replicas(spec.Parallelism), &c.Object.Spec.JobTemplate.Spec.Template, job("", spec),
			batchv1.JobNameLabel, "job-name", batchv1.ControllerUidLabel, "controller-uid")
		r.all[i].TemplatePath = "spec.jobTemplate.spec.template"
		r.all[i].Labels = labels.Merge(c.Object.Spec.JobTemplate.Labels, c.Object.Labels)
	}
	for _, s := range objects.replicaSets {
		if !r.owned(s.Source, s.Object, replicas(s.Object.Spec.Replicas), &s.Object.Spec.Template) {
			r.made(s.Source, s.Object, replicas(s.Object.Spec.Replicas), &s.Object.Spec.Template, plan{})
			r.adopt(s.Source, s.Object.Spec.Selector, "")
		}
	}
	for _, c := range objects.controllers {
		r.made(c.Source, c.Object, replicas(c.Object.Spec.Replicas), c.Object.Spec.Template, plan{})
		selector := c.Object.Spec.Selector
		if len(selector) == 0 {
			selector = c.Object.Spec.Template.Labels
		}
		r.adopt(c.Source, &metav1.LabelSelector{MatchLabels: selector}, "")
	}
	for _, j := range objects.jobs {
		if !r.owned(j.Source, j.Object, running(j.Object), &j.Object.Spec.Template) {
			r.made(j.Source, j.Object, running(j.Object), &j.Object.Spec.Template, job(j.Name, j.Object.Spec),
				batchv1.ControllerUidLabel, "controller-uid")
		}
	}
	for _, o := range objects.operated {
		i := r.workload(Workload{Source: o.Source, Labels: o.labels, Replicas: o.replicas, Template: o.template, TemplatePath: "spec", Unfixed: o.unfixed})
		r.plans[i] = o.plan
	}
}

func (r *roster) made(at Source, object metav1.Object, replicas int32, template *corev1.PodTemplateSpec, p plan, unfixed ...string) int {
	i := r.workload(Workload{Source: at, Labels: object.GetLabels(), Replicas: replicas, Template: template, TemplatePath: "spec.template", Unfixed: unfixed})
	r.plans[i] = p
	return i
}

// owned notes whose a ReplicaSet or Job is. An owner that is not in the input
// is a workload as its references tell, made as what it owns says.
func (r *roster) owned(at Source, object metav1.Object, replicas int32, template *corev1.PodTemplateSpec) bool {
	ref := metav1.GetControllerOf(object)
	if ref == nil {
		return false
	}
	parent := key(ref.Kind, at.Namespace, ref.Name)
	r.parent[key(at.Kind, at.Namespace, at.Name)] = parent
	i := r.workload(Workload{Source: Source{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: at.Namespace, Name: ref.Name}})
	_, declared := r.plans[i]
	if w := &r.all[i]; !declared && w.Replicas == 0 { // old ReplicaSets ask for none
		w.Replicas, w.Template = replicas, template
	}
	return true
}

func (r *roster) adopt(at Source, selector *metav1.LabelSelector, prefix string) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err == nil && !s.Empty() {
		r.adopts = append(r.adopts, adopter{key(at.Kind, at.Namespace, at.Name), at.Namespace, s, prefix})
	}
}

func statefulSet(s *appsv1.StatefulSet) plan {
	start := 0
	if s.Spec.Ordinals != nil {
		start = int(s.Spec.Ordinals.Start)
	}
	name := func(i int) string { return s.Name + "-" + strconv.Itoa(start+i) }
	return plan{names: name, telling: []string{appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel}, labels: func(i int) map[string]string {
		return map[string]string{appsv1.StatefulSetPodNameLabel: name(i), appsv1.PodIndexLabel: strconv.Itoa(start + i)}
	}}
}

// job is how the Job of that name makes its pods; empty: the name is not known.
func job(name string, spec batchv1.JobSpec) plan {
	p := plan{labels: func(int) map[string]string { return nil }}
	if name != "" {
		p.labels = func(int) map[string]string { return map[string]string{batchv1.JobNameLabel: name, "job-name": name} }
	}
	if spec.CompletionMode == nil || *spec.CompletionMode != batchv1.IndexedCompletion {
		return p
	}
	own := p.labels
	p.telling = []string{batchv1.JobCompletionIndexAnnotation}
	p.labels = func(i int) map[string]string {
		set := map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(i)}
		maps.Copy(set, own(i))
		return set
	}
	return p
}

// expand makes pods for workloads of which none is declared.
func (s *Set) expand(r *roster) {
	taken := map[string]bool{}
	has := map[int]bool{}
	for i, p := range r.pods {
		taken[p.Key()], has[r.owners[i]] = true, true
	}
	asked := s.asked().ofPods
	for i, w := range r.all {
		if has[i] || w.Template == nil {
			continue
		}
		if w.Replicas == 0 {
			s.note(w.Where("spec.replicas"), w.String(), "has no pods: it asks for none, or has finished")
		}
		p := r.plans[i]
		for n := range s.made(w, p, asked) {
			pod := p.pod(w, n, taken)
			if taken[pod.Key()] {
				continue // a pod of another has the name, so this one cannot be
			}
			taken[pod.Key()] = true
			s.admitted(&pod, w, asked)
			r.add(pod, i)
		}
	}
}

// made is how many pods stand for a workload.
func (s *Set) made(w Workload, p plan, asked map[string]bool) int {
	n := int(w.Replicas)
	if n < 0 {
		n = alike
		if len(s.World.Nodes) > 0 {
			n = len(s.World.Nodes)
		}
	}
	for _, k := range p.telling {
		if !asked[k] {
			continue
		}
		if n > maxReplicas {
			s.note(w.Where("spec.replicas"), w.String(), "asks for %d pods, which a selector on %s tells apart; the first %d are judged", n, k, maxReplicas)
		}
		return min(n, maxReplicas)
	}
	return min(n, alike)
}

// pod is the nth pod of a workload. Where its name is not known beforehand it is
// the workload's with a letter.
func (p plan) pod(w Workload, n int, taken map[string]bool) verdict.Pod {
	v := podOf(&w.Template.Spec)
	v.Namespace, v.Labels = w.Namespace, labels.Set{}
	maps.Copy(v.Labels, w.Template.Labels)
	for _, k := range w.Unfixed {
		v.Labels[k] = unfixed
	}
	if p.labels != nil {
		maps.Copy(v.Labels, p.labels(n))
	}
	if p.names != nil {
		v.Name = p.names(n)
		return v
	}
	for i := n; v.Name == "" || taken[v.Key()]; i++ {
		v.Name = fmt.Sprintf("%s-%s", w.Name, letters(i))
	}
	return v
}

// letters counts a, b, …, z, aa, ab, …
func letters(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return letters(i/26-1) + string(rune('a'+i%26))
}
