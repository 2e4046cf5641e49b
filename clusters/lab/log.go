package lab

import (
	"context"
	"fmt"
	"io"
)

// Log is what one component of a lab said so far.
type Log struct {
	Component string `json:"component"`
	Bytes     int64  `json:"bytes"`
}

// LogOptions say what CopyLog copies.
type LogOptions struct {
	Component string `json:"component"`
	Tail      int64  `json:"tail,omitempty"`   // bytes at the end; 0 means all
	Follow    bool   `json:"follow,omitempty"` // go on until ctx or the lab ends
}

// Logs returns the components of a lab that have a log.
func Logs(ctx context.Context, name string) ([]Log, error) {
	conn, first, err := ask(ctx, name, request{Logs: &LogOptions{}})
	if err != nil {
		return nil, err
	}
	return first.Logs, conn.Close()
}

// CopyLog writes what a component said to w. With Follow, ctx ends it without an error.
func CopyLog(ctx context.Context, name string, o LogOptions, w io.Writer) error {
	conn, first, err := ask(ctx, name, request{Logs: &o})
	if err != nil {
		return err
	}
	defer conn.Close()
	if !first.Stream {
		return fmt.Errorf("lab %q: log of %s: the lab did not send it", name, o.Component)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := io.Copy(w, conn.lines); err != nil && ctx.Err() == nil {
		return fmt.Errorf("lab %q: log of %s: %w", name, o.Component, err)
	}
	return nil
}
