package main

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table writes the results as Markdown.
func table(all []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Verdicts, on one core (%s, %s/%s)\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	b.WriteString("Baseline: `github.com/mattfenwick/cyclonus` v0.5.6, package `matcher`, on the same inputs in the same run.\n\n")
	b.WriteString("| pods × policies | engine | verdicts/s | at best | with reasons/s | ratio | compile | bytes | pod change p50 | p99 | policy change p50 | p99 | all pairs on one port |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, r := range all {
		name := fmt.Sprintf("%d × %d", r.size.Pods, r.size.Policies)
		row(&b, name, "tightrope", r.ours, fmt.Sprintf("%.0f×", r.theirs.decide.mean/r.ours.decide.mean))
		row(&b, "", "baseline", r.theirs, "1×")
	}
	b.WriteString("\nThe baseline's verdict is a yes or no with the policies behind it; ours without reasons is Allow, Deny or Unknown, and with\n" +
		"reasons names the rule at both ends. Times are those that the process computed, so that what else runs does not count; what\n" +
		"shares the core's execution units and caches does, and \"at best\" is the stretch that suffered least. Bytes are what compiling leaves in use beside the input. The baseline keeps no\n" +
		"pods, and cannot change the policies that it compiled: it compiles again. \"≈\": extrapolated from a sample.\n\n")
	fmt.Fprintf(&b, "Changes: %s.\n\n", mix)
	b.WriteString("| pods × policies | verdicts compared | differ | why |\n| --- | ---: | ---: | --- |\n")
	for _, r := range all {
		name := fmt.Sprintf("%d × %d", r.size.Pods, r.size.Policies)
		if len(r.differences) == 0 {
			fmt.Fprintf(&b, "| %s | %d | 0 | |\n", name, r.compared)
		}
		for _, why := range slices.Sorted(maps.Keys(r.differences)) {
			fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", name, r.compared, r.differences[why], why)
		}
	}
	return b.String()
}

func row(b *strings.Builder, name, engine string, f figures, ratio string) {
	judge := "same"
	if f.judge.mean > 0 {
		judge = perSecond(f.judge.mean)
	}
	pairs := short(f.allPairs)
	if f.sampled {
		pairs = "≈ " + pairs
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, engine,
		perSecond(f.decide.mean), perSecond(f.decide.best), judge, ratio, short(f.compile), size(f.bytes), short(percentile(f.pod, 0.5)), short(percentile(f.pod, 0.99)),
		short(percentile(f.policy, 0.5)), short(percentile(f.policy, 0.99)), pairs)
}

func perSecond(each float64) string {
	n := float64(time.Second) / each
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f k", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", max(n, 0))
}

// short keeps three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	}
	if d == 0 {
		return "–"
	}
	return d.String()
}
