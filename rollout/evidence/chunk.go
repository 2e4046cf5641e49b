package evidence

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Schema of a chunk. A reader refuses another one.
const Schema = "tightrope.dev/evidence/v1alpha1"

// What a reader takes at most: a chunk may come from anyone.
const (
	maxUnpacked = 32 << 20 // bytes of one chunk
	maxChecks   = 1 << 17  // of one look, or counts of one window
	// MaxChunks of a run.
	MaxChunks = 4096
)

// Chunk is a part of what a run wrote down. Nothing in it is ever changed. Its
// digest is that of its text, so the newest chunk of a chain names every one before
// it, and their order.
type Chunk struct {
	Schema  string  `json:"schema"`
	Run     string  `json:"run"`
	RunUID  string  `json:"runUID"`
	Plan    string  `json:"plan"`             // digest of the snapshot that the run works from
	Number  int     `json:"number"`           // from 1, without a gap
	Before  string  `json:"before,omitempty"` // digest of the one before; empty: it is the first
	Entries []Entry `json:"entries"`
}

// Text is the chunk as it is stored, packed, and the digest of its text.
func (c *Chunk) Text() (packed []byte, digest string, err error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, "", fmt.Errorf("evidence of run %s, chunk %d: %w", c.Run, c.Number, err)
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", fmt.Errorf("pack the evidence of run %s: %w", c.Run, err)
	}
	return out.Bytes(), digestOf(raw), nil
}

func digestOf(raw []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(raw)) }

// Stored is a chunk as it was found: where, and packed.
type Stored struct {
	Where  string // in words, for people
	Packed []byte
}

// read unpacks a chunk. Its digest is of what is there, whoever wrote it.
func (s Stored) read() (*Chunk, string, error) {
	r, err := gzip.NewReader(bytes.NewReader(s.Packed))
	if err != nil {
		return nil, "", fmt.Errorf("%s is not packed as a chunk is: %w", s.Where, err)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, "", fmt.Errorf("%s cannot be unpacked: %w", s.Where, err)
	}
	if len(raw) > maxUnpacked {
		return nil, "", fmt.Errorf("%s has more than %d bytes: it is not of a controller of ours", s.Where, maxUnpacked)
	}
	var c Chunk
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, "", fmt.Errorf("%s does not parse: %w", s.Where, err)
	}
	return &c, digestOf(raw), nil
}

// Links are the digest of a stored chunk and that of the one before it, for who follows a chain back; nothing is checked.
func (s Stored) Links() (digest, before string, err error) {
	c, digest, err := s.read()
	if err != nil {
		return "", "", err
	}
	return digest, c.Before, nil
}

// Name is what the object of a chunk is called. It carries the digest, so that another
// chunk with the same number is another object.
func Name(run string, number int, digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return fmt.Sprintf("%s-e%d-%s", run, number, hex[:min(16, len(hex))])
}

// Key of the object's binary data that holds a chunk.
const Key = "entries.json.gz"

// Head names the newest chunk of a run, and says how many there are. The zero Head
// is of a run that wrote nothing down.
type Head struct {
	Digest string
	Chunks int
}

// ErrChain says that chunks are not those that the run wrote.
var ErrChain = errors.New("the evidence is not what the run wrote down")

// Read returns the entries of a run in their order. It goes back from the head, so
// that a chunk that was removed, changed, repeated or put elsewhere is found, and is
// named. Chunks that the head does not lead to are left over from writes that the
// run gave up: they count for nothing, and are returned as extra.
func Read(stored []Stored, run, uid string, head Head) (chunks []*Chunk, extra []string, err error) {
	if head.Chunks < 0 || head.Chunks > MaxChunks {
		return nil, nil, fmt.Errorf("%w: its head speaks of %d chunks", ErrChain, head.Chunks)
	}
	found, unread := map[string]*Chunk{}, map[int]error{}
	where, names := map[string]string{}, map[string]bool{}
	for i, s := range stored {
		c, digest, err := s.read()
		if err != nil {
			unread[i] = err
			continue
		}
		if at, twice := where[digest]; twice {
			return nil, nil, fmt.Errorf("%w: %s repeats %s", ErrChain, s.Where, at)
		}
		found[digest], where[digest] = c, s.Where
	}
	chunks = make([]*Chunk, head.Chunks)
	next := head.Digest
	for n := head.Chunks; n > 0; n-- {
		c := found[next]
		if c == nil {
			return nil, nil, missing(n, next, found, where, unread)
		}
		switch at := where[next]; {
		case c.Schema != Schema:
			return nil, nil, fmt.Errorf("%w: %s has schema %.60q, and this version reads %q", ErrChain, at, c.Schema, Schema)
		case c.Run != run || c.RunUID != uid:
			return nil, nil, fmt.Errorf("%w: %s is of run %.80q with UID %.80q, and not of %s with UID %s", ErrChain, at, c.Run, c.RunUID, run, uid)
		case c.Number != n:
			return nil, nil, fmt.Errorf("%w: %s says that it is chunk %d, and it stands where chunk %d does", ErrChain, at, c.Number, n)
		}
		names[next] = true
		chunks[n-1], next = c, c.Before
	}
	if next != "" {
		return nil, nil, fmt.Errorf("%w: the first chunk follows one with digest %.80s, and the head speaks of %d chunks in all", ErrChain, next, head.Chunks)
	}
	for digest, at := range where {
		if !names[digest] {
			extra = append(extra, at)
		}
	}
	for _, err := range unread {
		extra = append(extra, err.Error())
	}
	return chunks, extra, nil
}

// missing says what is known of a chunk that is not there: whether another stands in
// its place.
func missing(n int, digest string, found map[string]*Chunk, where map[string]string, unread map[int]error) error {
	for d, c := range found {
		if c.Number == n {
			return fmt.Errorf("%w: chunk %d must have digest %s, and %s has %s: it was changed, or belongs elsewhere", ErrChain, n, digest, where[d], d)
		}
	}
	for _, err := range unread {
		return fmt.Errorf("%w: chunk %d, with digest %s, is not there, and %w", ErrChain, n, digest, err)
	}
	return fmt.Errorf("%w: chunk %d, with digest %s, is not there: it was removed", ErrChain, n, digest)
}
