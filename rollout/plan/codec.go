package plan

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const (
	// Schema is the major version of Plan's stored form. A minor version may
	// follow a dot: it adds fields, and older releases pass over them.
	Schema = "tightrope.dev/plan/v1"
	// maxPlan bounds what a stored plan unfolds to.
	maxPlan = 64 << 20
)

// Stored is the data of a snapshot: the plan as compressed text. The API server
// keeps a string as it is, while it rewrites JSON; so the digest that arms is of the
// string, and no reader ever marshals a plan again to check it.
type Stored struct {
	Plan string `json:"plan"` // base64 of gzip of the plan's JSON
}

// Encode returns a plan, or what has one embedded, as it is stored. The same plan
// gives the same text.
func Encode(plan any) (string, error) {
	raw, err := json.Marshal(plan)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&text, gzip.BestCompression) // the level is a valid one; the header carries no time
	if _, err = zip.Write(raw); err == nil {
		err = zip.Close()
	}
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(text.Bytes()), nil
}

// Decode reads a stored plan into what has one embedded. Fields that this release
// does not know are passed over: a newer one wrote them.
func Decode(text string, into any) error {
	zipped, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(zip, maxPlan+1))
	if err != nil {
		return err
	}
	if len(raw) > maxPlan {
		return fmt.Errorf("it unfolds to more than %d MiB", maxPlan>>20)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.Schema != Schema && !strings.HasPrefix(head.Schema, Schema+".") {
		return fmt.Errorf("it has schema %q, this release reads %q", head.Schema, Schema)
	}
	return json.Unmarshal(raw, into)
}

// DigestOfText is that of a plan as stored ("sha256:…"), names and all. A run is armed
// with it: nobody can then change the snapshot unnoticed.
func DigestOfText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
