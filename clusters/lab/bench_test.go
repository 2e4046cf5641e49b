package lab_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

// TestBars measures the lab against its bars and prints one table. `make bench`
// runs it; TIGHTROPE_BENCH=long adds the rows with 1,000 pods.
func TestBars(t *testing.T) {
	wanted := os.Getenv("TIGHTROPE_BENCH")
	if wanted != "short" && wanted != "long" {
		t.Skip("TIGHTROPE_BENCH is neither short nor long; `make bench` sets it")
	}
	table := &bars{}
	defer table.write(t)
	t.Run("up", func(t *testing.T) { benchUp(t, table) })
	t.Run("100 pods", func(t *testing.T) {
		crowd{nodes: 2, pods: 100, rounds: 100, every: time.Millisecond,
			readyBar: 8 * time.Second, enforcedBar: 50 * time.Millisecond}.bench(t, table)
	})
	if wanted == "long" {
		t.Run("1000 pods", func(t *testing.T) {
			crowd{nodes: 8, pods: 1000, policies: 500, rounds: 100, every: 5 * time.Millisecond,
				readyBar: 90 * time.Second, enforcedBar: 500 * time.Millisecond, memoryBar: 16 << 30}.bench(t, table)
		})
	}
}

// bars is the table.
type bars struct{ rows [][3]string }

func (b *bars) add(what, measured, bar string) {
	b.rows = append(b.rows, [3]string{what, measured, bar})
}

func (b *bars) duration(what string, d, bar time.Duration) {
	text := "–"
	if bar > 0 {
		text = "< " + bar.String()
		if d >= bar {
			text += ", missed"
		}
	}
	b.add(what, rounded(d), text)
}

func rounded(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func (b *bars) write(t *testing.T) {
	var s strings.Builder
	fmt.Fprintf(&s, "The lab, measured on %s.\n\n| what | measured | bar |\n| --- | --- | --- |\n", thisMachine())
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s | %s | %s |\n", r[0], r[1], r[2])
	}
	t.Log("\n" + s.String())
	if dir := os.Getenv("TIGHTROPE_BENCH_REPORT"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lab.md"), []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// benchLab brings a lab up for one benchmark.
func benchLab(t *testing.T, nodes int) (*lab.Lab, time.Duration) {
	t.Helper()
	bin := binaries(t)
	place(t)
	program := podProgram(t, "testdata", "crowd")
	ctx, stop := context.WithTimeout(context.Background(), 2*patience)
	defer stop()
	start := time.Now()
	l, err := lab.Up(ctx, lab.Options{Name: "bench", Nodes: nodes, Labd: filepath.Join(bin, "labd"), Images: map[string]string{"bench": program}})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		_ = l.Down(ctx)
	})
	return l, took
}

func benchClient(t *testing.T, l *lab.Lab) kubernetes.Interface {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// benchUp measures the time to two Ready nodes with a DNS that answers: it is
// what Up waits for.
func benchUp(t *testing.T, table *bars) {
	const rounds = 5
	var took []time.Duration
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			l, d := benchLab(t, 2)
			took = append(took, d)
			if i == rounds-1 {
				addMemory(t, table, l, "two nodes, no pod of ours", 0)
			}
		})
	}
	slices.Sort(took)
	if len(took) == rounds {
		table.duration("two Ready nodes and DNS that answers, median of 5", took[rounds/2], 6*time.Second)
		table.duration("the slowest of them", took[rounds-1], 0)
	}
}

func addMemory(t *testing.T, table *bars, l *lab.Lab, when string, bar uint64) {
	t.Helper()
	parts := labMemory(t, userNamespace(t, "bench"))
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		m, limit := parts[part], "–"
		if part == "all" && bar > 0 {
			limit = fmt.Sprintf("< %d GiB", bar>>30)
			if m.pss >= bar { // RSS counts a page of a program once for each of a thousand pods that run it
				limit += ", missed"
			}
		}
		table.add(fmt.Sprintf("memory, %s: %s (processes: %d)", when, part, m.processes),
			fmt.Sprintf("PSS %d MiB, RSS %d MiB", m.pss>>20, m.rss>>20), limit)
	}
}
