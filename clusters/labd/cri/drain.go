package cri

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// output is one stream of a command, on its way to whoever reads it. os/exec's own
// pipes would be closed a time after the command's end, with what nobody has read yet.
type output struct {
	r, w *os.File
	done chan struct{} // closed when all is delivered
}

// carry begins to deliver what the command writes. Close w when it has started.
func carry(to io.Writer) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{r, w, make(chan struct{})}
	go func() {
		defer close(o.done)
		_, err := io.Copy(to, r)
		if err != nil { // the reader is gone: the command must not wait for it
			_, _ = io.Copy(io.Discard, r)
		}
	}()
	return o, nil
}

// finish returns when all that an ended command has written is delivered. Somebody
// whom it left running may hold the stream open: then it is closed once it was empty
// for drainTime.
func (o *output) finish() {
	defer o.r.Close()
	for {
		select {
		case <-o.done:
			return
		case <-time.After(drainTime):
		}
		if o.unread() == 0 {
			o.r.Close()
			<-o.done
			return
		}
	}
}

// finishAll finishes several at once: each may have to wait.
func finishAll(all ...*output) {
	var streams sync.WaitGroup
	for _, o := range all {
		streams.Go(o.finish)
	}
	streams.Wait()
}

// unread is how many bytes are in the pipe.
func (o *output) unread() (n int) {
	raw, err := o.r.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}
