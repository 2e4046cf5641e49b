package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
)

// request and reply are what the lab itself, inside its namespaces, is asked and
// answers, a line each. Their other side is in labd's supervisor.
type request struct {
	Fault  *Fault      `json:"fault,omitempty"`
	Faults bool        `json:"faults,omitempty"`
	Logs   *LogOptions `json:"logs,omitempty"`
}

type reply struct {
	Held    *HeldFault  `json:"held"`
	Undone  bool        `json:"undone"`
	Faults  []HeldFault `json:"faults"`
	Logs    []Log       `json:"logs"`
	Stream  bool        `json:"stream"`
	Error   string      `json:"error"`
	Refused bool        `json:"refused"`
}

// inside is a connection to the lab itself.
type inside struct {
	net.Conn
	lines *bufio.Reader
}

// ask sends the request to a lab that is up and returns the first reply. ctx
// bounds the wait for that, not the connection.
func ask(ctx context.Context, name string, r request) (*inside, reply, error) {
	s, err := Find(name)
	if err != nil {
		return nil, reply{}, err
	}
	if !s.Ready {
		return nil, reply{}, fmt.Errorf("lab %q: %w: it is still starting", name, ErrNotUp)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(filepath.Dir(s.Kubeconfig), "inside.sock"))
	if err != nil {
		return nil, reply{}, fmt.Errorf("lab %q does not answer: %w", name, err)
	}
	in := &inside{conn, bufio.NewReader(conn)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = json.NewEncoder(conn).Encode(r)
	var first reply
	if err == nil {
		first, err = in.next()
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, first, fmt.Errorf("lab %q: %w", name, err)
	}
	return in, first, nil
}

// next is the next reply; one that tells of an error is that error.
func (in *inside) next() (r reply, err error) {
	line, err := in.lines.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return r, errors.New("it hung up; did it end?")
	} else if err != nil {
		return r, err
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("it said %.80q: %w", line, err)
	}
	switch {
	case r.Error != "" && r.Refused:
		return r, fmt.Errorf("%w: %s", ErrBadRequest, r.Error)
	case r.Error != "":
		return r, errors.New(r.Error)
	}
	return r, nil
}

// ErrBadRequest is wrapped where a lab was asked for something that is not
// possible; nothing was done.
var ErrBadRequest = errors.New("refused")
