package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/tightrope-dev/tightrope/probes"
)

// reread is how often the plan is read without being told of a change. It is the
// net under the file system's notifications, which can be lost or not be had.
const reread = 2 * time.Second

// reading is what a plan file held: a plan, or why there is none.
type reading struct {
	plan probes.Plan
	err  error
}

// watch sends what the file holds, at first and after every change, until ctx ends.
func watch(ctx context.Context, file string, plans chan<- reading) {
	// The kubelet changes a volume by swapping a symbolic link next to the file,
	// so the folder is watched.
	events, closeEvents := notify(filepath.Dir(file))
	defer closeEvents()
	tick := time.NewTicker(reread)
	defer tick.Stop()
	var before []byte
	var failure string
	for first := true; ; first = false {
		raw, err := read(file)
		if first || !bytes.Equal(raw, before) || text(err) != failure {
			before, failure = raw, text(err)
			r := reading{err: err}
			if err == nil {
				r.plan, r.err = probes.ParsePlan(raw)
			}
			select {
			case plans <- r:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case _, open := <-events:
			if !open {
				events = nil
			}
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// notify watches a folder. Where that cannot be had, the channel is nil and only
// the ticker speaks.
func notify(folder string) (<-chan fsnotify.Event, func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, func() {}
	}
	done := make(chan struct{})
	go func() { // the watcher blocks while nobody takes its errors; each may hide a change, which the ticker finds
		defer close(done)
		for range w.Errors {
		}
	}()
	stop := func() {
		w.Close()
		<-done
	}
	if err := w.Add(folder); err != nil {
		stop()
		return nil, func() {}
	}
	return w.Events, stop
}

// read returns the file's content, at most one byte more than a plan may have.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("plan file: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, probes.MaxPlan+1))
	if err != nil {
		return nil, fmt.Errorf("plan file %s: %w", file, err)
	}
	return raw, nil
}
