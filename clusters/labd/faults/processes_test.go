package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test's own program be what is stopped: threads that never rest.
func TestMain(m *testing.M) {
	if os.Getenv("FAULTS_TEST_SPIN") == "" {
		os.Exit(m.Run())
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				_ = n
			}
		})
	}
	all.Wait()
}

// TestPauseIsInEffect: a process that was found standing has used no more of a
// processor a moment later. Without the wait, threads on other processors run on.
func TestPauseIsInEffect(t *testing.T) {
	spin := exec.CommandContext(t.Context(), os.Args[0])
	spin.Env = append(os.Environ(), "FAULTS_TEST_SPIN=1", "GOMAXPROCS=8")
	if err := spin.Start(); err != nil {
		t.Fatal(err)
	}
	pid := spin.Process.Pid
	t.Cleanup(func() {
		_ = spin.Process.Kill()
		_ = spin.Wait()
	})
	for used(t, pid) < 8*time.Millisecond {
	}
	for range 50 {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := standing(t.Context(), pid); err != nil {
			t.Fatal(err)
		}
		stood := used(t, pid)
		for end := time.Now().Add(2 * time.Millisecond); time.Now().Before(end); {
		}
		if more := used(t, pid) - stood; more > 0 {
			t.Fatalf("the process ran for another %v after it stood still", more)
		}
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for before := used(t, pid); used(t, pid) == before; {
		}
	}
}

// used is the processor time of all threads of a process; a thread's schedstat
// counts it in nanoseconds.
func used(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended since
		}
		n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", thread, err)
		}
		sum += time.Duration(n)
	}
	return sum
}
