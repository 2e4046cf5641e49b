package evidence

import "time"

// Budget is what the chunks of a run may take in etcd, in bytes.
const Budget = 1 << 20

// objectSize is what a chunk's object takes beside its packed text, at most: its
// names, labels, owner and managed fields.
const objectSize = 2 << 10

// firstWindow is how long the first window lasts: a chunk, the status that names it and
// the published report are three writes, and a quiet run makes one in ten seconds at most.
// Each window after it is twice as long,
// so that a run of a month has some twenty, and the newest are never the finest.
const firstWindow = 20 * time.Second

// WindowEnded reports whether a window of a run ends between two moments, counted from
// the run's beginning. The schedule is fixed: nobody who looks at a run decides what
// of it is kept.
func WindowEnded(from, to time.Duration) bool {
	for end, length := firstWindow, firstWindow; end <= to && length > 0; end += length {
		if end > from {
			return true
		}
		length *= 2
	}
	return false
}

// Spent is what the chunks of a run took so far.
type Spent int

// Of is what a chunk of that many packed bytes takes.
func Of(packed int) Spent { return Spent(packed + objectSize) }

// Windows reports whether there is room for a window that nothing depends on. What is
// not written is kept, and is part of the next chunk.
func (s Spent) Windows() bool { return s < Budget*3/4 }

// Turns reports whether there is room for a chunk for a decision. Without it decisions
// are kept for the last one.
func (s Spent) Turns() bool { return s < Budget*7/8 }
