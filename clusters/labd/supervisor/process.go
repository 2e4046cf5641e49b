package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// tailBytes of a dead component's log are searched for its last lines.
const (
	tailBytes = 32 << 10
	tailLines = 50
	tailWidth = 400 // bytes of a line
)

// process is one component of the lab, a child of the supervisor. None of them
// may end before the lab does, but by a fault.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	meant atomic.Bool   // its end is a fault's doing
	ended chan struct{} // closed when it has ended
}

func logOf(name string) string { return filepath.Join(layout.Logs, name+".log") }

// start runs `hyperkube args…` with its output in a log file, and tells exits when it
// ends and should not. Children need no Pdeathsig: when the supervisor dies,
// process 1 does, and the namespace with it.
func (s *supervisor) start(name string, args []string, flags uintptr, files ...*os.File) (*process, error) {
	p := &process{name: name, log: logOf(name), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer log.Close()
	p.cmd = &exec.Cmd{Path: layout.Hyperkube, Args: append([]string{"hyperkube"}, args...), Dir: "/", Env: os.Environ(),
		Stdout: log, Stderr: log, ExtraFiles: files, SysProcAttr: &syscall.SysProcAttr{Cloneflags: flags}}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	s.processes[name] = p
	s.mu.Unlock()
	go func() {
		err := p.cmd.Wait()
		close(p.ended)
		if !p.meant.Load() {
			s.exits <- fmt.Errorf("%s of the lab ended (%v); the end of its log:\n%s", name, why(err), tail(p.log))
		}
	}()
	return p, nil
}

func why(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// tail is the last lines of a log, for an error message.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, tailBytes))
	lines := strings.Split(string(bytes.TrimSpace(b)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), tailWidth)]
	}
	return strings.Join(lines, "\n")
}
