package lint

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cronJob finds a selector for the pods of a Job by the name of a CronJob among the
// classes: the label, and that name. Both are empty where it is none.
func cronJob(s *metav1.LabelSelector, among []*class) (key, name string) {
	for _, key := range []string{"job-name", batchv1.JobNameLabel} {
		name, asked := s.MatchLabels[key]
		named := func(kind string) bool {
			return slices.ContainsFunc(among, func(c *class) bool {
				return c.workload != nil && c.workload.Kind == kind && c.workload.Name == name
			})
		}
		if asked && named("CronJob") && !named("Job") {
			return key, name
		}
	}
	return "", ""
}

func cronJobText(name string) (why, fix string) {
	return fmt.Sprintf("%s is a CronJob. It names its Jobs %s-<time>, and the label has a Job's name (CronJob documentation), so it never matches.", name, name),
		"Give the pods a label in spec.jobTemplate.spec.template.metadata.labels of the CronJob, and select by that one."
}
