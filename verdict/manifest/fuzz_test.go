package manifest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

// FuzzRead reads anything: it ends, it does not panic, an error is an *Error
// fit to print, and a Set without one holds together.
func FuzzRead(f *testing.F) {
	for _, folder := range []string{"testdata/bad", "testdata/good"} {
		for _, story := range storiesOf(f, folder) {
			for _, file := range story.Files[:len(story.Files)-1] {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte("a: &a {<<: *a}"))
	f.Add([]byte("? [a]\n: b\n? *x\n: c"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := ReadStream("-", bytes.NewReader(raw), Options{})
		if err != nil {
			checkError(t, set, err, raw)
			return
		}
		checkSet(t, set)
	})
}

func checkError(t *testing.T, set *Set, err error, raw []byte) {
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Problems) == 0 || set != nil {
		t.Errorf("%T %v with set %v", err, err, set)
		return
	}
	for _, p := range bad.Problems {
		if lines := bytes.Count(raw, []byte("\n")) + 1; p.Line > lines {
			t.Errorf("%s: the text has only %d lines", p, lines)
		}
	}
	for _, r := range err.Error() {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			t.Errorf("the error holds the control character %U: %q", r, err)
		}
	}
}

func checkSet(t *testing.T, set *Set) {
	owners := make([]int, len(set.Pods))
	for _, w := range set.Workloads {
		for _, i := range w.Pods {
			owners[i]++
		}
		_ = w.Where("spec.replicas")
	}
	keys := map[string]bool{}
	for i, p := range set.Pods {
		if owners[i] != 1 {
			t.Errorf("pod %s is of %d workloads", p.Key(), owners[i])
		}
		if keys[p.Key()] {
			t.Errorf("two pods %s", p.Key())
		}
		keys[p.Key()] = true
	}
	for _, s := range set.Services {
		for _, i := range s.Pods {
			for _, port := range s.Ports {
				port.On(&set.Pods[i])
			}
		}
	}
	for _, n := range set.Notes {
		for _, r := range n.String() {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Errorf("a note holds the control character %U: %q", r, n)
			}
		}
	}
	snapshot := verdict.Compile(set.World, set.Pods)
	for range snapshot.Pods() {
	}
}
