package dial

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/probes"
)

// Network makes attempts. It gives none of them a timer: whoever starts an attempt
// stops it when its time is over. All of its methods belong to one goroutine.
type Network struct {
	epoll   *os.File // an epoll instance, which Go's own poller watches
	raw     int      // its descriptor
	alarm   int      // a timer file in it
	ready   chan struct{}
	watcher sync.WaitGroup
	names   names

	fresh   []*Attempt         // wait on a socket that epoll does not know yet
	spare   []*Attempt         // memory for the next fresh
	watched map[int32]*Attempt // by the descriptor that epoll watches
	opened  int32              // numbers sockets, because descriptors are used again
	ended   []*Attempt         // to be told by Work
	streams streams
	polls   []unix.PollFd
	events  [128]unix.EpollEvent
	buf     [4096]byte // for what is read
}

// NewNetwork opens a Network. It must be closed.
func NewNetwork() (*Network, error) {
	fail := func(err error) (*Network, error) {
		return nil, fmt.Errorf("no epoll instance to wait for sockets with: %w", err)
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	alarm, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	n := &Network{
		raw: fd, alarm: alarm, names: names{read: readNames},
		ready: make(chan struct{}, 1), watched: map[int32]*Attempt{},
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(alarm)}
	err = errors.Join(
		unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, alarm, &event),
		unix.SetNonblock(fd, true)) // has os.File leave it to Go's poller
	n.epoll = os.NewFile(uintptr(fd), "epoll")
	conn, connErr := n.epoll.SyscallConn()
	if err := errors.Join(err, connErr); err != nil {
		n.Close()
		return fail(err)
	}
	n.watcher.Go(func() {
		// Called at first, and whenever something becomes ready; it ends with the file.
		_ = conn.Read(func(uintptr) bool {
			n.wake()
			return false
		})
	})
	return n, nil
}

// WakeAt has Ready say something at that moment, instead of at the one before. It
// is a timer file, because a Go timer wakes two threads: the one that waits, and the
// scheduler's monitor, which looks whether that one did.
func (n *Network) WakeAt(at time.Time) {
	rawTimer(n.alarm, time.Until(at))
}

func (n *Network) wake() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// Ready has a value whenever Work may have something to do.
func (n *Network) Ready() <-chan struct{} { return n.ready }

// Close stops every attempt and frees what the network holds.
func (n *Network) Close() {
	for _, a := range n.fresh {
		a.Stop()
	}
	for _, a := range n.watched {
		a.Stop()
	}
	n.streams.close()
	unix.Close(n.alarm)
	n.epoll.Close()
	n.watcher.Wait()
}

// Start begins one fresh attempt of a check. Work, and not Start, calls done when
// it has ended, unless it is stopped before.
func (n *Network) Start(check probes.Check, done func(Result)) *Attempt {
	a := &Attempt{network: n, check: check, done: done, fd: -1}
	a.begin()
	return a
}

// Work moves every attempt on whose socket has something to say. Call it after a
// batch of attempts was started, because a target on the same node has accepted by
// then, and whenever Ready says so.
func (n *Network) Work() {
	n.lookAtFresh()
	n.answered()
	for {
		count := rawEpoll(n.raw, n.events[:])
		for _, e := range n.events[:count] {
			if a := n.watched[e.Fd]; a != nil && a.socket == e.Pad {
				a.move(e.Events)
			}
		}
		n.lookAtFresh()
		if count < len(n.events) {
			break
		}
	}
	for len(n.ended) > 0 {
		told := n.ended
		n.ended = nil
		for _, a := range told {
			if a.done != nil {
				a.done(a.result)
			}
		}
	}
}

// lookAtFresh asks once about all sockets that were opened of late. Most connects
// within a node have succeeded by now, and cost epoll nothing.
func (n *Network) lookAtFresh() {
	for len(n.fresh) > 0 {
		batch := n.fresh
		n.fresh, n.polls = n.spare[:0], n.polls[:0]
		for _, a := range batch {
			n.polls = append(n.polls, unix.PollFd{Fd: int32(a.fd), Events: a.awaits()}) // -1 is passed over
		}
		rawPoll(n.polls) // if it fails, epoll tells the same, later
		for i, a := range batch {
			socket := a.socket
			if a.fd >= 0 && n.polls[i].Revents != 0 {
				a.move(uint32(n.polls[i].Revents))
			}
			if a.fd >= 0 && a.socket == socket {
				n.watch(a)
			}
		}
		clear(batch)
		n.spare = batch
	}
}

// watch has epoll tell of every change of an attempt's socket, until it is closed.
func (n *Network) watch(a *Attempt) {
	if n.watched[int32(a.fd)] == a {
		return // its first address failed at once, so it is there twice
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: int32(a.fd), Pad: a.socket}
	if err := unix.EpollCtl(n.raw, unix.EPOLL_CTL_ADD, a.fd, &event); err != nil {
		a.end(Result{Detail: "no memory to wait for its socket: " + err.Error()})
		return
	}
	n.watched[int32(a.fd)] = a
}
