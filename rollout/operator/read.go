package operator

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// read returns a run at least as new as what this process wrote to it last. One that
// it knows nothing of is read from the API server: another process may have
// written to it.
func (r *RunReconciler) read(ctx context.Context, key types.NamespacedName, s *session) (*v1alpha1.PolicyRolloutRun, error) {
	run, known := &v1alpha1.PolicyRolloutRun{}, ""
	if s != nil && s.version != "" {
		known = s.record.job.newer(s.version)
	}
	if known == "" {
		return run, r.deciding().Read.Get(ctx, key, run)
	}
	err := r.Reader.Get(ctx, key, run)
	if err == nil && run.ResourceVersion != known {
		if newer, bad := resourceversion.CompareResourceVersion(run.ResourceVersion, known); bad != nil || newer < 0 {
			return run, r.deciding().Read.Get(ctx, key, run)
		}
	}
	return run, err
}

// newer is the version of a run that is known to have been, of the one that is known
// otherwise and of what a write aside has made of it; empty: the API server knows. While
// such a write is under way, nothing rests on what came of it.
func (j *job) newer(known string) string {
	switch {
	case j == nil, !j.names, !j.over():
		return known
	case j.version == "":
		return ""
	}
	if later, err := resourceversion.CompareResourceVersion(j.version, known); err == nil && later < 0 {
		return known
	}
	return j.version
}
