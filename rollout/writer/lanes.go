package writer

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// hedgeAfter is how long one lane has for its answer before the other is asked too.
	hedgeAfter = 500 * time.Millisecond
	// warmEvery is how often a lane is used that nobody needs: what lies between us and
	// the API server forgets connections that are silent for long.
	warmEvery = 15 * time.Second
	// answersWithin is how long a lane that is tried has before it is dialled anew.
	answersWithin = time.Second
	// insistFor bounds how long a request is repeated that nobody refused. Who sent it
	// tries again, with what it knows by then.
	insistFor = 3 * time.Second
	// patience bounds a request that is not answered at all.
	patience = 30 * time.Second
)

// Lanes carry what must not queue: two connections to the API server that nothing
// else uses. client-go shares one connection among equal configurations, and between
// copies of one; a lane has a dialer of its own, and so its own TLS and HTTP/2 state.
//
//	request ──► lane that answered last ──┐
//	      └ 500 ms without answer ► other ┴──► first answer wins
//
// So a request may reach the API server twice. What a Writer over lanes writes
// carries the version that was read, and a conflict with its own twin is none.
// Lanes are for short requests: no watch, no log.
type Lanes struct {
	cfg   *rest.Config
	lanes [2]*lane
	last  atomic.Int32 // index of the lane that answered last
}

// NewLanes makes lanes to the API server of a configuration. Start keeps them warm.
func NewLanes(cfg *rest.Config) (*Lanes, error) {
	l := &Lanes{cfg: cfg}
	for i := range l.lanes {
		var err error
		if l.lanes[i], err = newLane(cfg); err != nil {
			return nil, fmt.Errorf("connection %d of two: %w", i+1, err)
		}
	}
	return l, nil
}

// Start keeps the lanes warm until the context ends, and then closes them.
func (l *Lanes) Start(ctx context.Context) error {
	var both sync.WaitGroup
	for _, lane := range l.lanes {
		both.Go(func() { lane.keepWarm(ctx) })
	}
	both.Wait()
	return nil
}

// NeedLeaderElection says that who waits to lead has warm lanes already.
func (l *Lanes) NeedLeaderElection() bool { return false }

// Link reads from the API server, past every cache, and writes, over lanes.
type Link struct {
	Read  client.Reader
	Write *Writer
}

// Link returns a link over the lanes, with the rights of their configuration.
func (l *Lanes) Link(c client.Options, o Options) (Link, error) {
	c.HTTPClient, c.Cache = &http.Client{Transport: l}, nil
	api, err := client.New(l.cfg, c)
	if err != nil {
		return Link{}, fmt.Errorf("client over connections of its own: %w", err)
	}
	write := New(api, o)
	write.twice = true
	return Link{Read: api, Write: write}, nil
}

// RoundTrip sends a request over the lane that answered last, and over the other one
// too if there is no answer in time or the first try failed. The first answer that
// decides something wins, and ends the other try.
func (l *Lanes) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(r.Context(), patience)
	defer stop()
	hedge, now := context.WithTimeout(ctx, hedgeAfter)
	defer now()
	answers := make(chan answer, len(l.lanes))
	first := l.last.Load()
	go func() { answers <- l.lanes[first].insist(ctx, r, body, now).by(first) }()
	go func() {
		<-hedge.Done()
		answers <- l.lanes[1-first].insist(ctx, r, body, now).by(1 - first)
	}()
	won := <-answers
	if won.decides() {
		stop()
		<-answers
	} else if other := <-answers; other.decides() || won.response == nil {
		won = other
	}
	if won.decides() {
		l.last.Store(won.lane)
	}
	return won.response, won.err
}
