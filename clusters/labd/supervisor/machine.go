package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/clusters/labd/controlplane"
	"github.com/tightrope-dev/tightrope/clusters/labd/faults"
)

// machine is the lab as faults see it.
type machine struct{ s *supervisor }

func (m machine) Nodes() []string {
	var all []string
	for i := 1; i <= m.s.cfg.Nodes; i++ {
		all = append(all, nodeName(i))
	}
	return all
}

// Components are in the order in which they are started.
func (m machine) Components() []string {
	all := []string{"etcd", "apiserver", "controller-manager"}
	if m.s.cfg.Nodes > 0 {
		all = append(all, "scheduler")
	}
	return all
}

func (m machine) Client() kubernetes.Interface { return m.s.client }

func (m machine) PID(component string) (int, error) {
	p, err := m.running(component)
	if err != nil {
		return 0, err
	}
	return p.cmd.Process.Pid, nil
}

func (m machine) running(component string) (*process, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	p := m.s.processes[component]
	if p == nil {
		return nil, fmt.Errorf("%s was never started", component)
	}
	select {
	case <-p.ended:
		return nil, fmt.Errorf("%s is down", component)
	default:
		return p, nil
	}
}

func (m machine) Port(node string) string { return port(index(node)) }

// index is the number in a node's name; 0 for other components.
func index(component string) (i int) {
	if number, is := strings.CutPrefix(component, "node-"); is {
		_, _ = fmt.Sscan(number, &i)
	}
	return i
}

// Kill ends a component and what came of it. A node's cable goes first: nothing
// that its kernel would still answer gets out.
func (m machine) Kill(ctx context.Context, component string) error {
	p, err := m.running(component)
	if err != nil {
		return err
	}
	p.meant.Store(true)
	if index(component) > 0 {
		cable, err := netlink.LinkByName(m.Port(component))
		if err == nil {
			err = netlink.LinkDel(cable)
		}
		if err != nil {
			return fmt.Errorf("pull the network of %s: %w", component, err)
		}
	}
	all, err := faults.Descendants(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	var watched []int
	for _, pid := range all {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // else it has ended
			watched = append(watched, fd)
			defer unix.Close(fd)
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	for _, fd := range watched {
		if err := awaitEnd(ctx, fd); err != nil {
			return err
		}
	}
	<-p.ended
	return nil
}

// awaitEnd waits for a process, known by a descriptor that its end makes readable.
func awaitEnd(ctx context.Context, pidfd int) error {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && err != unix.EINTR {
			return err
		}
	}
	return fmt.Errorf("a killed process does not end: %w", context.Cause(ctx))
}

// Start starts a component that was killed.
func (m machine) Start(ctx context.Context, component string) error {
	if _, err := m.running(component); err == nil {
		return nil // a try before this one got so far
	}
	if i := index(component); i > 0 {
		return m.startNode(ctx, i)
	}
	switch component {
	case "etcd":
		return m.s.startEtcd(ctx)
	case "apiserver":
		if err := m.s.startAPIServer(); err != nil {
			return err
		}
		return controlplane.WaitServing(ctx, m.s.client)
	}
	_, err := m.s.start(component, []string{component}, 0)
	return err
}

func (m machine) startNode(ctx context.Context, i int) error {
	started := time.Now()
	w, err := m.s.plugNode(i)
	if err != nil {
		return err
	}
	if err := release(w); err != nil {
		return err
	}
	return controlplane.WaitNodeBack(ctx, m.s.client, nodeName(i), started)
}
