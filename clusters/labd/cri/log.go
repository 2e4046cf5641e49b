package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine is the longest piece of output that is one log line; longer lines are
// cut into partial ones, which readers put together again.
const maxLine = 16 << 10

// logFile is a container's log in the CRI format: time, stream, F or P, text.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

func (l *logFile) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.openLocked()
}

func (l *logFile) openLocked() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("container log: %w", err)
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("container log: %w", err)
	}
	l.file = f
	return nil
}

// reopen starts a new file under the same name. A log that is closed stays closed.
func (l *logFile) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return errors.New("container log: the container does not run")
	}
	l.file.Close()
	l.file = nil
	return l.openLocked()
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

func (l *logFile) write(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_, _ = l.file.Write(b) // a full disk must not stop the container
	}
}

// pump copies one stream until its end. All lines that came together are written together.
func (l *logFile) pump(stream string, from io.ReadCloser) {
	defer from.Close()
	r := bufio.NewReaderSize(from, maxLine)
	var out []byte
	for {
		line, err := r.ReadSlice('\n')
		out = appendLine(out, time.Now(), stream, line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			l.write(out)
			return
		}
		if r.Buffered() == 0 || len(out) > 4*maxLine {
			l.write(out)
			out = out[:0]
		}
	}
}

// appendLine adds nothing for an empty line without an end.
func appendLine(out []byte, at time.Time, stream string, line []byte) []byte {
	if len(line) == 0 {
		return out
	}
	tag := " P "
	if line[len(line)-1] == '\n' {
		line, tag = line[:len(line)-1], " F "
	}
	out = at.UTC().AppendFormat(out, "2006-01-02T15:04:05.000000000Z07:00")
	out = append(out, ' ')
	out = append(out, stream...)
	out = append(out, tag...)
	out = append(out, line...)
	return append(out, '\n')
}
