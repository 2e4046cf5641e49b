package agent

import (
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// BenchmarkAttempt is one TCP attempt to loopback after the other; the target
// runs in the same process and takes its share of the processor.
func BenchmarkAttempt(b *testing.B) {
	check := probes.Check{Type: "TCP", Protocol: "TCP", Host: "127.0.0.1", Port: sink(b)}
	for b.Loop() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if r := dial.Try(ctx, check); r.Outcome != probes.Reached {
			b.Fatal(r)
		}
		cancel()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
}

// counting is a network that says when an attempt has reached its target.
type counting struct {
	network
	made chan<- struct{}
}

func (c counting) Start(check probes.Check, done func(dial.Result)) try {
	return c.network.Start(check, func(r dial.Result) {
		if r.Outcome == probes.Reached {
			c.made <- struct{}{}
		}
		done(r)
	})
}

// BenchmarkAgent is the whole agent at a pace that it cannot keep up with: a
// thousand checks of a loopback target. It prints what it managed and the memory
// it then holds from the system.
func BenchmarkAgent(b *testing.B) {
	p := plan(1000)
	p.Interval, p.Timeout = 10*time.Millisecond, 10*time.Second
	port := sink(b)
	for i := range p.Checks {
		p.Checks[i].Host, p.Checks[i].Port = "127.0.0.1", port
	}
	network, err := dial.NewNetwork()
	if err != nil {
		b.Fatal(err)
	}
	defer network.Close()
	made := make(chan struct{}, 4096)
	ctx, stop := context.WithCancel(context.Background())
	plans := make(chan reading)
	ended := make(chan error)
	go func() { ended <- newLoop(io.Discard, 64, counting{wire{network}, made}).run(ctx, plans) }()
	plans <- reading{plan: p}
	for b.Loop() {
		<-made
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
	b.ReportMetric(float64(m.Sys-m.HeapReleased)/(1<<20), "MiB")
	stop()
	for over := false; !over; {
		select {
		case <-made:
		case <-ended:
			over = true
		}
	}
}
