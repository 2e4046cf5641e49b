package plan

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// Schema is the version of Plan's stored form that this release writes. Its major
	// version rises with every field that nobody may pass over who carries the plan out: an
	// older release refuses it then, and takes the run back. A minor version may follow a
	// dot: it adds fields that older releases may pass over.
	//
	//	v2	gates of stages, which hold a run until people let it go on; waves; labels and
	//		annotations, which a commit writes and its rollback takes back
	Schema = schemaOf + "2"
	// oldest and newest are the major versions that this release reads.
	oldest, newest = 1, 2
	schemaOf       = "tightrope.dev/plan/v"
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

// ErrNewer says that a newer release stored a plan, with what this one must not pass over.
var ErrNewer = errors.New("a newer release stored it, with what this one must not pass over")

// readable says why this release does not read a schema; nil: it does.
func readable(schema string) error {
	version, ours := strings.CutPrefix(schema, schemaOf)
	major, _, _ := strings.Cut(version, ".")
	switch n, err := strconv.Atoi(major); {
	case !ours, err != nil, n < oldest:
		return fmt.Errorf("it has schema %.80q, and this release reads %s%d to v%d", schema, schemaOf, oldest, newest)
	case n > newest:
		return fmt.Errorf("%w: it has schema %.80q, and this release reads %s%d to v%d; run a controller that reads it", ErrNewer, schema, schemaOf, oldest, newest)
	}
	return nil
}

// Decode reads a stored plan into what has one embedded. Fields that this release
// does not know are passed over: a newer one wrote them, of the same major version.
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
	if err := readable(head.Schema); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// DigestOfText is that of a plan as stored ("sha256:…"), names and all. A run is armed
// with it: nobody can then change the snapshot unnoticed.
func DigestOfText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
