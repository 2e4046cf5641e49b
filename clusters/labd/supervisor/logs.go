package supervisor

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// logs asks for what a component said; without Component, for whom there is.
type logs struct {
	Component string `json:"component,omitempty"`
	Tail      int64  `json:"tail,omitempty"`   // bytes at the end; 0 means all
	Follow    bool   `json:"follow,omitempty"` // go on until the reader goes
}

// logInfo is one component's log.
type logInfo struct {
	Component string `json:"component"`
	Bytes     int64  `json:"bytes"`
}

// followEvery is how often a followed log is looked at; files announce nothing
// to readers.
const followEvery = 100 * time.Millisecond

func listLogs() (all []logInfo, err error) {
	files, err := filepath.Glob(filepath.Join(layout.Logs, "*.log"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			all = append(all, logInfo{strings.TrimSuffix(filepath.Base(f), ".log"), st.Size()})
		}
	}
	return all, err
}

func (l *logs) answer(to io.Writer, from *bufio.Reader, send func(reply)) {
	known, err := listLogs()
	if err != nil {
		send(reply{Error: err.Error()})
		return
	}
	if l.Component == "" {
		send(reply{Logs: known})
		return
	}
	var names []string
	for _, k := range known {
		names = append(names, k.Component)
		if k.Component == l.Component {
			l.stream(to, from, send)
			return
		}
	}
	send(reply{Error: fmt.Sprintf("no component %.40q in this lab: there are %s", l.Component, strings.Join(names, ", ")), Refused: true})
}

// stream copies the log, and what is added to it until the reader goes.
func (l *logs) stream(to io.Writer, from *bufio.Reader, send func(reply)) {
	f, err := os.Open(logOf(l.Component))
	if err != nil {
		send(reply{Error: err.Error()})
		return
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && l.Tail > 0 && st.Size() > l.Tail {
		_, _ = f.Seek(-l.Tail, io.SeekEnd)
	}
	send(reply{Stream: true})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = from.ReadByte()
	}()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if _, err := io.Copy(to, f); err != nil || !l.Follow {
			return
		}
		select {
		case <-gone:
			return
		case <-tick.C:
		}
	}
}
