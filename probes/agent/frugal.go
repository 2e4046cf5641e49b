package agent

import (
	"os"
	"runtime"
	"runtime/debug"
)

// memoryHint keeps a process below 32 MiB with a thousand checks: the collector
// works harder before the heap grows past it.
const memoryHint = 20 << 20

// Frugal sets this process up to be an agent and nothing else: one loop needs one
// processor, and a second would only cost wake-ups. GOMAXPROCS and GOMEMLIMIT
// override it.
func Frugal() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryHint)
	}
}
