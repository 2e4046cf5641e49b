package report

// latency is one stretch of a cut's repair.
type latency struct {
	Name   string
	Means  string
	Millis *float64
}

// list gives the four latencies in the order in which they follow each other.
func (l Latencies) list() []latency {
	return []latency{
		{"detect", "path broken → deciding sample received", l.Detect},
		{"decide", "→ rollback recorded", l.Decide},
		{"restore", "→ last bridge write acknowledged", l.Restore},
		{"recover", "→ first good attempt after it", l.Recover},
	}
}

// total adds the latencies that are known; none below zero counts.
func (l Latencies) total() (ms float64) {
	for _, x := range l.list() {
		if x.Millis != nil && *x.Millis > 0 {
			ms += *x.Millis
		}
	}
	return ms
}
