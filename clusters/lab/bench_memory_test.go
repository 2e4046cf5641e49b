package lab_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// memory of one part of a lab, in bytes.
type memory struct {
	processes int
	pss, rss  uint64 // PSS shares a page among those who map it; RSS counts it for each
}

// labMemory reads what every process of a lab uses: the components by name, and
// the pods' processes together.
func labMemory(t *testing.T, user string) map[string]memory {
	t.Helper()
	parts := map[string]memory{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if ns, err := os.Readlink(filepath.Join(dir, "ns/user")); err != nil || ns != user {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		pss, rss := rollup(filepath.Join(dir, "smaps_rollup"))
		for _, part := range []string{partOf(strings.Split(string(cmdline), "\x00")), "all"} {
			m := parts[part]
			parts[part] = memory{m.processes + 1, m.pss + pss, m.rss + rss}
		}
	}
	if parts["apiserver"].pss == 0 {
		t.Fatal("the API server's memory was not found: its process is not where the test looks")
	}
	return parts
}

func partOf(argv []string) string {
	if argv[0] != "labd" && argv[0] != "hyperkube" || len(argv) < 2 || argv[1] == "coredns" {
		return "pods"
	}
	switch argv[1] {
	case "init", "supervise":
		return "supervisor"
	case "node":
		return "nodes"
	case "container-init":
		return "pods"
	}
	return argv[1]
}

func rollup(file string) (pss, rss uint64) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib uint64
		if n, _ := fmt.Sscanf(lines.Text(), "Pss: %d kB", &kib); n == 1 {
			pss = kib << 10
		}
		if n, _ := fmt.Sscanf(lines.Text(), "Rss: %d kB", &kib); n == 1 {
			rss = kib << 10
		}
	}
	return pss, rss
}

// thisMachine says what the figures were measured on.
func thisMachine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	var info unix.Sysinfo_t
	_ = unix.Sysinfo(&info)
	return fmt.Sprintf("%d cores, kernel %s, %d GiB", runtime.NumCPU(), release, (info.Totalram*uint64(info.Unit)+1<<29)>>30)
}
