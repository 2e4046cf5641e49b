package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/tightrope-dev/tightrope/clusters/labd/faults"
)

// maxRequest bounds a line from outside.
const maxRequest = 64 << 10

// request is the first line on a connection to the lab itself, JSON. Exactly one
// of its fields is set. A Fault is held by the connection: when it closes, or
// another line comes, the fault is undone.
type request struct {
	Fault  *faults.Spec `json:"fault,omitempty"`
	Faults bool         `json:"faults,omitempty"` // list them
	Logs   *logs        `json:"logs,omitempty"`
}

// reply is one line of ours.
type reply struct {
	Held    *faults.Held  `json:"held,omitempty"`    // the fault is in effect
	Undone  bool          `json:"undone,omitempty"`  // and now it is not
	Faults  []faults.Held `json:"faults,omitempty"`  // all that are held
	Logs    []logInfo     `json:"logs,omitempty"`    // what Logs can be asked for
	Stream  bool          `json:"stream,omitempty"`  // a log follows, as it is, until the end of the connection
	Error   string        `json:"error,omitempty"`   //
	Refused bool          `json:"refused,omitempty"` // with Error: nothing was tried
}

// answer serves requests until the lab ends.
func (s *supervisor) answer(k *faults.Keeper) {
	for {
		conn, err := s.inside.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			answerOne(conn, k)
		}()
	}
}

func answerOne(conn net.Conn, k *faults.Keeper) {
	lines := bufio.NewReaderSize(conn, maxRequest)
	send := sender(conn)
	line, err := lines.ReadSlice('\n')
	if err != nil {
		return // gone, or more than any request has
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		send(reply{Error: "not a request: " + err.Error(), Refused: true})
		return
	}
	switch {
	case r.Fault != nil:
		hold(lines, send, k, *r.Fault)
	case r.Faults:
		send(reply{Faults: k.List()})
	case r.Logs != nil:
		r.Logs.answer(conn, lines, send)
	default:
		send(reply{Error: "an empty request", Refused: true})
	}
}

// sender writes replies as lines; a reader that is gone is noticed by reading.
func sender(w io.Writer) func(reply) {
	var mu sync.Mutex
	return func(r reply) {
		b, err := json.Marshal(r)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(append(b, '\n'))
	}
}

// hold keeps a fault as long as its holder says nothing more.
func hold(from io.Reader, send func(reply), k *faults.Keeper, s faults.Spec) {
	ctx, letGo := context.WithCancelCause(context.Background())
	defer letGo(nil)
	go func() {
		_, err := from.Read(make([]byte, 1))
		if err == nil {
			err = errors.New("the fault's holder lets go")
		}
		letGo(err)
	}()
	err := k.Hold(ctx, s, func(h faults.Held) { send(reply{Held: &h}) })
	if err != nil {
		text := strings.TrimPrefix(err.Error(), faults.ErrRefused.Error()+": ") // Refused says so
		send(reply{Error: text, Refused: errors.Is(err, faults.ErrRefused)})
		return
	}
	send(reply{Undone: true})
}
