package standin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics of one stand-in. Targets come from the configuration and outcomes
// from a fixed list, so the number of series is bounded.
type metrics struct {
	registry    *prometheus.Registry
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	lastSuccess *prometheus.GaugeVec
	requests    *prometheus.CounterVec
}

func newMetrics(profile string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standin_calls_total",
			Help: "Calls made to a target, by outcome; everything but ok is a failure.",
		}, []string{"target", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "standin_call_seconds",
			Help:    "How long a call to a target took, whatever its outcome.",
			Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"target"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "standin_last_success_timestamp_seconds",
			Help: "When a call to a target last succeeded; 0 means never.",
		}, []string{"target"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "standin_requests_total",
			Help: "Requests answered, by the name of the port and the status.",
		}, []string{"port", "code"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "standin_info", Help: "1, with the profile as a label.",
		ConstLabels: prometheus.Labels{"profile": profile},
	})
	info.Set(1)
	m.registry.MustRegister(info, m.calls, m.seconds, m.lastSuccess, m.requests)
	return m
}

// expect makes the series of a target exist before its first call, so that an
// alert on their increase sees the first failure.
func (m *metrics) expect(target string) {
	for _, o := range outcomes {
		m.calls.WithLabelValues(target, string(o))
	}
	m.seconds.WithLabelValues(target)
	m.lastSuccess.WithLabelValues(target)
}

func (m *metrics) called(target string, o outcome, took time.Duration, now time.Time) {
	m.calls.WithLabelValues(target, string(o)).Inc()
	m.seconds.WithLabelValues(target).Observe(took.Seconds())
	if o == ok {
		m.lastSuccess.WithLabelValues(target).Set(float64(now.UnixMilli()) / 1000)
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// counted counts what a port answers.
func (m *metrics) counted(port string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(seen, r)
		m.requests.WithLabelValues(port, strconv.Itoa(seen.status)).Inc()
	})
}

// statusWriter remembers the status. Unwrap keeps flushing possible, through
// http.ResponseController.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
