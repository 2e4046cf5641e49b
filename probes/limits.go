package probes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Bounds of what plans and lines may hold. Both come from outside the process
// that reads them, so both readers refuse more.
const (
	MaxChecks = 4096 // in a plan, and counts in a line
	MaxID     = 320  // bytes of a check's ID or an agent's name: a namespace and a pod's name fit
	MaxDetail = 200  // bytes of Count.Detail
	MaxError  = 512  // bytes of Line.Error
)

// decode reads exactly one JSON value of exactly the fields that v has.
func decode(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the first JSON value")
	}
	return nil
}

// short tells whether each text has at most limit bytes.
func short(limit int, texts ...string) error {
	for _, s := range texts {
		if len(s) > limit {
			return fmt.Errorf("%.20q… has %d bytes, more than %d", s, len(s), limit)
		}
	}
	return nil
}
