// Package agent tests paths from inside a pod: it follows a plan that it is
// handed as a file and prints what happened as JSON lines. It has no listener, no
// key and no access to any API; its only traffic is its attempts. It is not told
// what is expected, so it cannot be talked into a result.
//
//	plan file ──► watch ──► loop ──► network: attempts, side by side
//	                         │ ◄──── their results
//	                         └─────► lines on standard output
//
// One goroutine, the loop, owns all state. Every check is tried once an interval,
// in one of some groups that start together, because waking up costs more than an
// attempt; a check whose class of outcome changes is tried in a burst, so that one
// lost packet is not taken for a policy. What changes is told at once (a line holds
// many checks, and at most four a second come out on average); what does not is
// told in a line a second.
package agent

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/tightrope-dev/tightrope/probes/dial"
)

// Options is what an agent is started with.
type Options struct {
	PlanFile    string    // the plan, JSON of a probes.Plan; it may appear and change later
	Out         io.Writer // takes the lines, one write each
	MaxInFlight int       // attempts at once, over all checks; 0 means 768
}

func (o Options) withDefaults() Options {
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 768)
	return o
}

func (o Options) validate() error {
	switch {
	case o.PlanFile == "":
		return errors.New("no plan file: say where the plan is mounted")
	case o.Out == nil:
		return errors.New("no output: the lines need somewhere to go")
	case o.MaxInFlight < 1:
		return errors.New("MaxInFlight is negative: nothing could ever be tried")
	}
	return nil
}

// Run follows the plan until ctx ends, then prints what is not yet printed and
// returns nil. A plan that cannot be read is no error: the agent says so in its
// lines and goes on with the plan before. An error means that the options make
// no sense or that the output is gone.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	network, err := dial.NewNetwork()
	if err != nil {
		return err
	}
	defer network.Close()
	ctx, cancel := context.WithCancel(ctx)
	plans := make(chan reading)
	var watching sync.WaitGroup
	watching.Go(func() { watch(ctx, o.PlanFile, plans) })
	err = newLoop(o.Out, o.MaxInFlight, wire{network}).run(ctx, plans)
	cancel()
	watching.Wait()
	return err
}
