package podnet

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrClosed says that a Space is gone.
var ErrClosed = errors.New("the pod's network namespace is gone")

// Space is a network namespace with a thread of its own in it. Processes started
// by Do are that thread's children: with Pdeathsig they end with the Space, and
// with this process, however it ends.
type Space struct {
	file *os.File
	jobs chan func()
	done chan struct{}
	once sync.Once
}

// OpenSpace makes a network namespace. Close it.
func OpenSpace() (*Space, error) {
	return open(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return nil
	})
}

// NodeSpace is the node's own network namespace, with a thread like that of
// another Space, for pods that share it. Close it; the namespace stays.
func NodeSpace() (*Space, error) { return open(func() error { return nil }) }

func open(unshare func() error) (*Space, error) {
	s := &Space{jobs: make(chan func()), done: make(chan struct{})}
	opened := make(chan error, 1)
	go onOwnThread(func() {
		err := s.enter(unshare)
		opened <- err
		if err != nil {
			return
		}
		for {
			select {
			case job := <-s.jobs:
				job()
			case <-s.done:
				return
			}
		}
	})
	if err := <-opened; err != nil {
		return nil, err
	}
	return s, nil
}

// onOwnThread runs f on a thread that ends with f. The process's first thread
// cannot end, so it hands the work on.
func onOwnThread(f func()) {
	runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	begun := make(chan struct{})
	go onOwnThread(func() { close(begun); f() })
	<-begun // the first thread is busy until another one has the work
	runtime.UnlockOSThread()
}

func (s *Space) enter(unshare func() error) error {
	if err := unshare(); err != nil {
		return err
	}
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("open the pod's network namespace: %w", err)
	}
	s.file = f
	return nil
}

// FD is a descriptor of the namespace, valid until Close.
func (s *Space) FD() int { return int(s.file.Fd()) }

// Do runs f in the namespace, on its thread, and returns f's error.
func (s *Space) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case <-s.done:
		return ErrClosed
	case s.jobs <- func() { result <- f() }:
		return <-result
	}
}

// Close ends the thread and lets go of the namespace. The kernel removes it, with
// its links, when the last process in it has ended.
func (s *Space) Close() {
	s.once.Do(func() {
		close(s.done)
		s.file.Close()
	})
}
