package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kill ends components; undone, they are started in the order of their needs.
func (k *Keeper) kill(ctx context.Context, targets []string) (undo, error) {
	var done []string
	var restoreDNS undo
	back := func(ctx context.Context) error {
		if len(done) > 0 {
			slices.SortFunc(done, func(a, b string) int { return k.rank(a) - k.rank(b) })
		}
		for len(done) > 0 {
			if err := k.machine.Start(ctx, done[0]); err != nil {
				return fmt.Errorf("start %s: %w", done[0], err)
			}
			done = done[1:]
		}
		if restoreDNS != nil {
			return restoreDNS(ctx)
		}
		return nil
	}
	if slices.Contains(targets, DNS) { // first: it needs the API server
		var err error
		if restoreDNS, err = k.killDNS(ctx); err != nil {
			return back, err
		}
	}
	for _, t := range targets {
		if t == DNS {
			continue
		}
		done = append(done, t)
		if err := k.machine.Kill(ctx, t); err != nil {
			return back, fmt.Errorf("kill %s: %w", t, err)
		}
	}
	return back, nil
}

// rank orders what is to be started: the control plane, as its Components are
// listed, before nodes.
func (k *Keeper) rank(component string) int {
	all := append(k.machine.Components(), k.machine.Nodes()...)
	return slices.Index(all, component)
}

// pause stops all processes of components where they stand. A node's network
// falls silent with it: a frozen machine answers nobody, and the kernel here
// would go on forwarding.
func (k *Keeper) pause(ctx context.Context, targets []string) (undo, error) {
	back := func(context.Context) error {
		var errs []error
		for _, t := range targets {
			errs = append(errs, k.thaw(t))
		}
		return errors.Join(errs...)
	}
	for _, t := range targets {
		if err := k.freeze(ctx, t); err != nil {
			return back, err
		}
	}
	return back, nil
}

// freeze looks for processes until it finds no new one: those that it has not
// stopped yet may still start others. It returns when all of them stand still.
func (k *Keeper) freeze(ctx context.Context, target string) error {
	pid, err := k.machine.PID(target)
	if err != nil {
		return err
	}
	if slices.Contains(k.machine.Nodes(), target) {
		if err := setLink(k.machine.Port(target), false); err != nil {
			return fmt.Errorf("pause %s: %w", target, err)
		}
	}
	stopped := map[int]bool{}
	for again := true; again; {
		again = false
		all, err := Descendants(pid)
		if err != nil {
			return fmt.Errorf("pause %s: %w", target, err)
		}
		for _, p := range all {
			if stopped[p] {
				continue
			}
			stopped[p], again = true, true
			if err := unix.Kill(p, unix.SIGSTOP); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pause process %d of %s: %w", p, target, err)
			}
			if err := standing(ctx, p); err != nil {
				return fmt.Errorf("pause process %d of %s: %w", p, target, err)
			}
		}
	}
	return nil
}

// standing waits until no thread of a process runs any more. A signal only asks
// for that: on a busy machine the other threads of an etcd have been seen to
// answer a request after it. Nobody but a parent is told of a stop, so this looks.
func standing(ctx context.Context, pid int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for moving(pid) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it was asked to stop and still runs: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// moving says that a thread runs or sleeps where a signal wakes it (proc(5),
// states R and S). One in state D is inside the kernel and meets the stop on its
// way out; it may have to stay there, as who waits for a child's exec does.
func moving(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is well formed
	return slices.ContainsFunc(stats, func(stat string) bool {
		fields, ok := afterName(stat)
		return ok && (fields[0] == "R" || fields[0] == "S")
	})
}

func (k *Keeper) thaw(target string) error {
	pid, err := k.machine.PID(target)
	if err != nil {
		return err
	}
	all, err := Descendants(pid)
	if err != nil {
		return fmt.Errorf("resume %s: %w", target, err)
	}
	for _, p := range all {
		if err := unix.Kill(p, unix.SIGCONT); err != nil && err != unix.ESRCH {
			return fmt.Errorf("resume process %d of %s: %w", p, target, err)
		}
	}
	if !slices.Contains(k.machine.Nodes(), target) {
		return nil
	}
	if err := setLink(k.machine.Port(target), true); err != nil {
		return fmt.Errorf("resume %s: %w", target, err)
	}
	return nil
}

func setLink(name string, up bool) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("network interface %s: %w", name, err)
	}
	set := netlink.LinkSetDown
	if up {
		set = netlink.LinkSetUp
	}
	if err := set(link); err != nil {
		return fmt.Errorf("network interface %s: %w", name, err)
	}
	return nil
}

// Descendants returns a process and all that came of it, parents first. A pod's
// processes are in a namespace of their own, whose first one is the node's child.
func Descendants(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(child); ok {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// parentOf is the second field after the name in /proc/PID/stat.
func parentOf(pid int) (parent int, ok bool) {
	fields, ok := afterName(fmt.Sprintf("/proc/%d/stat", pid))
	if !ok {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// afterName returns what a stat file of /proc says after the name in parentheses,
// which may hold anything: state and parent come first. It is not ok where the
// process or thread has ended since.
func afterName(stat string) (fields []string, ok bool) {
	b, err := os.ReadFile(stat)
	if err != nil {
		return nil, false
	}
	fields = strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return fields, len(fields) >= 2
}
