package operator

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// read returns a run at least as new as what this process wrote to it last. One that
// it knows nothing of is read from the API server: another process may have
// written to it.
func (r *RunReconciler) read(ctx context.Context, key types.NamespacedName, s *session) (*v1alpha1.PolicyRolloutRun, error) {
	run, known := &v1alpha1.PolicyRolloutRun{}, ""
	if s != nil && s.version != "" {
		known = s.record.job.after(s.version)
	}
	if known == "" {
		return run, r.deciding().Read.Get(ctx, key, run)
	}
	err := r.Reader.Get(ctx, key, run)
	if err == nil && newer(known, run.ResourceVersion) {
		return run, r.deciding().Read.Get(ctx, key, run)
	}
	return run, err
}

// after is the newest version that a run is known to have had, of the one that is known
// otherwise and of the one that a write aside made; empty: the API server knows. While
// such a write is under way, nothing rests on what comes of it.
func (j *job) after(known string) string {
	switch {
	case j == nil, !j.names, !j.over():
		return known
	case j.version == "" || newer(j.version, known):
		return j.version
	}
	return known
}
