package writer

import (
	"errors"

	"golang.org/x/sync/errgroup"
)

// maxInFlight bounds the writes that one Each makes at once.
const maxInFlight = 32

// Each does one thing for every item, side by side, and returns when all are
// done. One that fails stops no other: in a rollback each object counts.
func Each[T any](items []T, do func(T) error) error {
	errs := make([]error, len(items)) // one slot each: no lock, stable order
	var group errgroup.Group
	group.SetLimit(maxInFlight)
	for i, item := range items {
		group.Go(func() error {
			errs[i] = do(item)
			return nil
		})
	}
	_ = group.Wait() // the errors are in their slots
	return errors.Join(errs...)
}
