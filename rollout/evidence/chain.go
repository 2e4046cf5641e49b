package evidence

import (
	"fmt"
	"slices"
)

// Chain is what a run writes down and has not written yet. It hands out one chunk at a
// time. Whether that became part of the chain is for the run's status to say: a write
// whose answer was lost may have been made, so nothing follows a chunk, and nothing
// takes its place, before the status was read again. The zero Chain is of no run.
type Chain struct {
	Run, RunUID string

	head    Head
	pending []Entry // not in any chunk that the status names
	flight  *Flight
}

// Flight is a chunk that was handed out: it may be stored already, and the status may
// name it already.
type Flight struct {
	Chunk  *Chunk
	Packed []byte
	Head   Head // of the chain if the status comes to name it
	held   int  // how many of the pending entries it has
}

// Name is what the flight's object is called.
func (f *Flight) Name() string { return Name(f.Chunk.Run, f.Chunk.Number, f.Head.Digest) }

// Last are the entries that are written down only if the status comes to name the chunk.
func (f *Flight) Last() []Entry { return f.Chunk.Entries[f.held:] }

// Size is how many bytes the chunk takes.
func (f *Flight) Size() int { return len(f.Packed) }

// Head is the newest chunk that the status named when it was last read.
func (c *Chain) Head() Head { return c.head }

// Pending is how many entries wait to be written.
func (c *Chain) Pending() int { return len(c.pending) }

// Begin makes the chain go on from what the status names.
func (c *Chain) Begin(head Head) { c.head, c.flight = head, nil }

// Add takes an entry.
func (c *Chain) Add(e Entry) { c.pending = append(c.pending, e) }

// Flight is the chunk that was handed out and is not settled; nil: there is none.
func (c *Chain) Flight() *Flight { return c.flight }

// Next hands out a chunk with all that is pending, and with last, which is only
// written down if the status comes to name the chunk. It is nil while another one is
// not settled, and where there is nothing to write.
func (c *Chain) Next(plan string, last ...Entry) (*Flight, error) {
	if c.flight != nil || len(c.pending)+len(last) == 0 {
		return nil, nil
	}
	chunk := &Chunk{Schema: Schema, Run: c.Run, RunUID: c.RunUID, Plan: plan, Number: c.head.Chunks + 1, Before: c.head.Digest,
		Entries: append(slices.Clone(c.pending), last...)}
	packed, digest, err := chunk.Text()
	if err != nil {
		return nil, err
	}
	c.flight = &Flight{Chunk: chunk, Packed: packed, Head: Head{digest, chunk.Number}, held: len(c.pending)}
	return c.flight, nil
}

// See takes note of what the status names. It reports whether that is the chunk that was handed
// out: then its entries are written down. If the status names the one before, nothing is
// settled: the write may be under way. Anything else was written by somebody else.
func (c *Chain) See(now Head) (settled bool, err error) {
	switch {
	case now == c.head:
		return false, nil
	case c.flight != nil && now == c.flight.Head:
		c.pending = slices.Delete(c.pending, 0, c.flight.held)
		c.head, c.flight = now, nil
		return true, nil
	}
	return false, fmt.Errorf("%w: the status names chunk %d with digest %.80s, and this controller knows %d with %.80s", ErrChain, now.Chunks, now.Digest, c.head.Chunks, c.head.Digest)
}

// GiveUp lets go of the chunk that was handed out, after the status was read and does
// not name it, and when nobody can make it do so any more. Its object stays, and
// counts for nothing.
func (c *Chain) GiveUp() { c.flight = nil }
