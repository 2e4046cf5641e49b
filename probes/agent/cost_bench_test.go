package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/probes"
)

// What BenchmarkSteadyAgent measures: the pace of a real rollout, at which waking
// up costs more than attempts do.
const (
	steadyChecks   = 30
	steadyInterval = 250 * time.Millisecond
	steadyLasts    = 8 * time.Second
	childMode      = "TIGHTROPE_BENCH_CHILD" // what a child process of the benchmark does
	childTarget    = "TIGHTROPE_BENCH_TARGET"
)

// cost is what a child process says of itself at its end.
type cost struct {
	Processor time.Duration // user and system
	Attempts  int64
	Bytes     int64 // of lines
	Lines     int64
	KiB       int64 // resident at most
}

// BenchmarkSteadyAgent is one agent process with thirty checks of a loopback target
// in another process, each four times a second. It prints processor time per
// attempt and bytes of lines, and the same for a bare loop of system calls that
// connects at the same pace: the floor that the kernel sets.
func BenchmarkSteadyAgent(b *testing.B) {
	for _, kind := range []string{"TCP", "HTTP", "DNS"} {
		b.Run(kind, func(b *testing.B) {
			target := strconv.Itoa(int(sink(b)))
			for b.Loop() {
				floor, agent := child(b, "floor", target), child(b, kind, target)
				each, least := agent.each(), floor.each()
				b.ReportMetric(each, "µs/attempt")
				b.ReportMetric(least, "floor-µs/attempt")
				b.ReportMetric(each/least, "x-floor")
				b.ReportMetric(float64(agent.Bytes)/steadyLasts.Seconds(), "line-B/s")
				b.ReportMetric(float64(agent.Lines)/steadyLasts.Seconds(), "lines/s")
				b.ReportMetric(float64(agent.KiB)/1024, "MiB")
			}
		})
	}
}

func (c cost) each() float64 { return float64(c.Processor.Nanoseconds()) / 1e3 / float64(c.Attempts) }

// child runs this program again as the process to measure.
func child(b *testing.B, mode, target string) cost {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childTarget+"="+target)
	out, err := cmd.Output()
	var c cost
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if want := int64(steadyChecks * steadyLasts / steadyInterval); err != nil || c.Attempts < want/2 { // less is no realistic pace
		b.Fatalf("child process %s: %v: %d attempts of %d: %.300s", mode, err, c.Attempts, want, out)
	}
	return c
}

// runChild is the whole of a child process.
func runChild(mode, target string) error {
	port, err := strconv.ParseUint(target, 10, 16)
	if err != nil {
		return err
	}
	var c cost
	before := processor()
	if mode == "floor" {
		c.Attempts, err = connectBarely(int(port))
	} else {
		err = followSteadily(mode, int32(port), &c)
	}
	c.Processor = processor() - before
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	c.KiB = usage.Maxrss
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(c)
	}
	return err
}

// processor is what this process has used so far.
func processor() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// connectBarely makes as many connections as the agent does, in the same groups,
// with the fewest system calls.
func connectBarely(port int) (made int64, err error) {
	runtime.LockOSThread()
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	group := steadyInterval / groups
	for end := time.Now().Add(steadyLasts); time.Now().Before(end); {
		pause := unix.NsecToTimespec(int64(group))
		_ = unix.Nanosleep(&pause, nil) // cut short, the group is early: no harm
		for range steadyChecks / groups {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return made, err
			}
			if err := unix.Connect(fd, to); err != nil {
				return made, err
			}
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(fd)
			made++
		}
	}
	return made, nil
}

// followSteadily is an agent that follows a plan of thirty checks.
func followSteadily(kind string, port int32, c *cost) error {
	Frugal()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := plan(0)
	for i := range steadyChecks {
		c := probes.Check{
			ID: fmt.Sprintf("p%d/llm-gateway-6d5f8b7c9-x2x%02d", i, i), Type: kind, Protocol: "TCP", Host: "127.0.0.1", Port: port,
			Path: "/health", Query: "kubernetes.default.svc.cluster.local.",
		}
		if kind == "DNS" {
			c.Protocol = "UDP"
		}
		p.Checks = append(p.Checks, c)
	}
	file := filepath.Join(dir, "plan.json")
	raw, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), steadyLasts)
	defer stop()
	return Run(ctx, Options{PlanFile: file, Out: c})
}

// Write counts what an agent says.
func (c *cost) Write(raw []byte) (int, error) {
	line, err := probes.ParseLine(bytes.TrimSpace(raw))
	if err != nil {
		return 0, err
	}
	c.Bytes += int64(len(raw))
	c.Lines++
	for _, n := range line.Counts {
		c.Attempts += int64(n.Outcomes[probes.Reached])
	}
	return len(raw), nil
}

// sink accepts connections, waits for a word or the end, and closes, as cheaply as
// can be. Over UDP, on the same port, it sends every question back as its answer.
func sink(b *testing.B) int32 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	datagrams, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 1024)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if n, _ := conn.Read(buf); n > 0 {
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			}
			conn.Close()
		}
	})
	serving.Go(func() {
		buf := make([]byte, 1024)
		for {
			n, from, err := datagrams.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x80 // a response
			_, _ = datagrams.WriteTo(buf[:n], from)
		}
	})
	b.Cleanup(func() {
		l.Close()
		datagrams.Close()
		serving.Wait()
	})
	return int32(l.Addr().(*net.TCPAddr).Port)
}
