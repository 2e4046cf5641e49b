// Package oci unpacks. It reads an OCI layout, a folder that somebody else may have
// made, and writes the files of its images for this machine's architecture below one
// directory:
//
//	LAYOUT/index.json ─► index ─► manifest linux/amd64 ─► layers ─► DIR/<manifest's digest>/…
//
// Nothing is believed: every blob on the way is compared with the digest by which it
// was found, nothing is written outside of DIR, and there is a bound on each size.
package oci

import "encoding/json"

// Bounds on what is read and written. Files are written to memory, as all files of a lab are.
const (
	maxManifest = 4 << 20 // bytes
	maxImages   = 100
	maxEntries  = 100_000 // of one image
	maxUnpacked = 1 << 30 // bytes of all images
)

// Image is an unpacked image, as its layout describes it.
type Image struct {
	Name       string   `json:"name"`    // without tag, as tightrope.dev/agent
	Digests    []string `json:"digests"` // by which it may be asked for: of its index, if it has one, and of its manifest
	Files      string   `json:"files"`   // the folder with its files
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	Env        []string `json:"env"`
	WorkingDir string   `json:"workingDir"`
	UID        int64    `json:"uid"`  // 0: root, or not said
	Size       int64    `json:"size"` // bytes of its files
}

// config is as much of an image's configuration as the lab applies.
type config struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		WorkingDir string
	} `json:"config"`
}

func parse[T any](b []byte) (v T, err error) { return v, json.Unmarshal(b, &v) }
