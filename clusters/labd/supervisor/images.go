package supervisor

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
)

// refusal is what is wrong with what the lab was given, not with the lab.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// unpacking is the lab's image layout while it is unpacked.
type unpacking struct {
	done   chan struct{}
	images []oci.Image
	err    error // valid after done, as images is
}

// unpackImages begins to unpack the lab's layout, if it has one. It ends by itself.
func (s *supervisor) unpackImages() *unpacking {
	u := &unpacking{done: make(chan struct{})}
	if s.cfg.Layout == "" {
		close(u.done)
		return u
	}
	go func() {
		defer close(u.done)
		if u.images, u.err = oci.Unpack(layout.OCI, layout.Unpacked, runtime.GOARCH); u.err != nil {
			u.err = refusal{fmt.Errorf("image layout %s: %w", s.cfg.Layout, u.err)}
			return
		}
		_ = unix.Unmount(layout.OCI, unix.MNT_DETACH) // nothing of it is needed any more
		s.report.Step("images")
	}()
	return u
}
