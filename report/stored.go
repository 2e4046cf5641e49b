package report

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
)

// Keys of the ConfigMap that holds a report. A large one is compressed, because a
// ConfigMap holds one MiB; a small one stays readable with kubectl.
const (
	storedKey = "report.json"
	packedKey = "report.json.gz"

	maxReadable = 256 << 10 // bytes
	maxUnpacked = 64 << 20  // bytes; more is not a report of ours
)

// Store returns a report as the data and binaryData of a ConfigMap.
func Store(r *Report) (data map[string]string, binaryData map[string][]byte, err error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("report of run %s: %w", r.Run, err)
	}
	if len(raw) <= maxReadable {
		return map[string]string{storedKey: string(raw)}, nil, nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err = w.Write(raw); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("compress the report of run %s: %w", r.Run, err)
	}
	return nil, map[string][]byte{packedKey: packed.Bytes()}, nil
}

// Stored reads what Store wrote. The zero Report comes back where nothing is stored.
func Stored(data map[string]string, binaryData map[string][]byte) (*Report, error) {
	raw, err := unpack(data, binaryData)
	if err != nil {
		return nil, err
	}
	var rep Report
	if len(raw) == 0 {
		return &rep, nil
	}
	if err := json.Unmarshal(raw, &rep); err != nil {
		return nil, fmt.Errorf("stored report does not parse: %w", err)
	}
	return &rep, nil
}

// Published reads a report that Store wrote and that anybody may have edited since,
// within the bounds of Parse.
func Published(data map[string]string, binaryData map[string][]byte) (*Report, error) {
	raw, err := unpack(data, binaryData)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("it has neither %s nor %s", storedKey, packedKey)
	}
	return Parse(raw)
}

// Digest is "sha256:" and the digest of a stored report's JSON, packed or not.
func Digest(data map[string]string, binaryData map[string][]byte) (string, error) {
	raw, err := unpack(data, binaryData)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), nil
}

// unpack is the JSON of a stored report; empty: there is none.
func unpack(data map[string]string, binaryData map[string][]byte) ([]byte, error) {
	packed := binaryData[packedKey]
	if len(packed) == 0 {
		return []byte(data[storedKey]), nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("stored report: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("stored report: %w", err)
	}
	if len(raw) > maxUnpacked {
		return nil, fmt.Errorf("stored report has more than %d bytes: it is not of a controller of ours", maxUnpacked)
	}
	return raw, nil
}
