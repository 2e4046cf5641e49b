package operator

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
)

var (
	phaseChanges = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tightrope_run_phase_changes_total",
		Help: "Phases that runs entered, by phase and cause.",
	}, []string{"phase", "cause"})
	cutsFound = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tightrope_cuts_total",
		Help: "Rows of paths (path and way) that were found cut.",
	})
	cutReaction = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tightrope_cut_reaction_seconds",
		Help:    "From the log line of a probe pod that tells of a cut, as it came in, until the restoring writes were sent, and until all of them were acknowledged.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"until"})
)

// RegisterMetrics adds the operator's metrics to the manager's registry.
func RegisterMetrics() error {
	for _, c := range []prometheus.Collector{phaseChanges, cutsFound, cutReaction} {
		if err := metrics.Registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func countPhase(at rollout.State, cuts []report.Cut) {
	phaseChanges.WithLabelValues(string(at.Phase), string(at.Cause)).Inc()
	if at.Phase == "RollingBack" {
		cutsFound.Add(float64(len(cuts)))
	}
}
