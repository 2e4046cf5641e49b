// Package sbom lists what is in our programs: SPDX 2.3 documents, made of the build
// information that Go's linker notes in every binary.
//
//	document ── DESCRIBES ──► archive, if any ── CONTAINS ──► program ─┬─ CONTAINS ───► its main module
//	                                                                  └─ DEPENDS_ON ─► other modules, std
//
// The same programs and the same Document give the same bytes.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// MediaType is that of a document in JSON.
const MediaType = "application/spdx+json"

// Document says what to describe. All programs are for one platform.
type Document struct {
	Name     string    // of what is described, such as agent-linux-arm64
	Version  string    // of the build
	Created  time.Time // written down as the document's
	Archive  string    // file name of the archive with the programs; empty: there is none, and one program
	Digest   string    // SHA-256 of the archive, in hexadecimal
	Programs []Program // one at least
}

// Program is one binary.
type Program struct {
	Name     string
	Platform string // linux/arm64
	Digest   string // SHA-256, in hexadecimal
	Info     *debug.BuildInfo
}

const (
	namespace = "tightrope.dev"
	licence   = "Apache-2.0"
)

// document is as much of SPDX 2.3 as is written here.
type document struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	CreationInfo  creationInfo   `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string        `json:"SPDXID"`
	Name             string        `json:"name"`
	Version          string        `json:"versionInfo,omitempty"`
	Purpose          string        `json:"primaryPackagePurpose"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	Copyright        string        `json:"copyrightText"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	References       []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	documentID  = "SPDXRef-DOCUMENT"
	noAssertion = "NOASSERTION"
)

// JSON is the document.
func (d Document) JSON() ([]byte, error) {
	if len(d.Programs) == 0 || d.Archive == "" && len(d.Programs) > 1 {
		return nil, fmt.Errorf("SBOM %s: %d programs and no archive: want one program, or an archive of several", d.Name, len(d.Programs))
	}
	l := list{version: d.Version, seen: map[string]bool{}}
	l.Version, l.DataLicense, l.ID, l.Name = "SPDX-2.3", "CC0-1.0", documentID, d.Name
	l.Namespace = fmt.Sprintf("https://%s/spdx/%s-%s", namespace, d.Name, cmp.Or(d.Digest, d.Programs[0].Digest))
	l.CreationInfo = creationInfo{d.Created.UTC().Format(time.RFC3339), []string{"Tool: tightrope-" + d.Version}}
	if d.Archive != "" {
		archive := ours("SPDXRef-Archive", d.Archive, d.Version, d.Digest)
		archive.Purpose = "ARCHIVE"
		l.add(archive)
		l.relate(documentID, "DESCRIBES", archive.ID)
	}
	for _, p := range d.Programs {
		id := l.program(p)
		if d.Archive != "" {
			l.relate("SPDXRef-Archive", "CONTAINS", id)
		} else {
			l.relate(documentID, "DESCRIBES", id)
		}
	}
	return json.MarshalIndent(l.document, "", "  ")
}

// list is a document to which each package is added once.
type list struct {
	document
	version string
	seen    map[string]bool
}

func (l *list) add(p spdxPackage) string {
	if !l.seen[p.ID] {
		l.seen[p.ID] = true
		l.Packages = append(l.Packages, p)
	}
	return p.ID
}

func (l *list) relate(from, how, to string) {
	l.Relationships = append(l.Relationships, relationship{from, how, to})
}

// program adds a binary: it contains its main module, and is linked with the other
// modules and Go's own library.
func (l *list) program(p Program) string {
	root := ours("SPDXRef-Program-"+notInID.ReplaceAllString(p.Name, "-"), p.Name, l.version, p.Digest)
	root.SourceInfo = fmt.Sprintf("program for %s, built by %s", p.Platform, p.Info.GoVersion)
	own := p.Info.Main
	own.Version = l.version // a build from a working tree has none
	main := modulePackage(&own)
	main.LicenseDeclared = licence
	std := modulePackage(&debug.Module{Path: "std", Version: strings.TrimPrefix(strings.Fields(p.Info.GoVersion)[0], "go")})
	l.relate(l.add(root), "CONTAINS", l.add(main))
	l.relate(root.ID, "DEPENDS_ON", l.add(std))
	for _, m := range p.Info.Deps { // sorted by the linker
		if m.Replace != nil {
			m = m.Replace
		}
		l.relate(root.ID, "DEPENDS_ON", l.add(modulePackage(m)))
	}
	return root.ID
}

// ours is a package that we make.
func ours(id, name, version, digest string) spdxPackage {
	return spdxPackage{ID: id, Name: name, Version: version, Purpose: "APPLICATION", DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: licence, Copyright: noAssertion,
		Checksums: []checksum{{"SHA256", digest}}}
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func modulePackage(m *debug.Module) spdxPackage {
	name := m.Path + "@" + m.Version
	sum := sha256.Sum256([]byte(name)) // two names may differ in signs only that an ID cannot have
	out := spdxPackage{
		ID:   "SPDXRef-Module-" + notInID.ReplaceAllString(name, "-") + "-" + hex.EncodeToString(sum[:4]),
		Name: m.Path, Version: m.Version, Purpose: "LIBRARY", DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, Copyright: noAssertion,
		References: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + url.QueryEscape(m.Version)}},
	}
	if m.Sum != "" {
		out.SourceInfo = "go.sum: " + m.Sum
	}
	return out
}
