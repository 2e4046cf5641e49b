package images

import (
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

// sbom describes a binary: the binary contains its main module, and this depends on
// the other modules and on Go's own library.
func (p program) sbom(o Options) ([]byte, error) {
	sum := sha256.Sum256(p.content)
	digest := hex.EncodeToString(sum[:])
	root := spdxPackage{ID: "SPDXRef-Program", Name: p.name, Version: o.Version, Purpose: "APPLICATION", DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: licence, Copyright: noAssertion,
		SourceInfo: fmt.Sprintf("program for %s/%s, built by %s", linux, p.arch, p.info.GoVersion),
		Checksums:  []checksum{{"SHA256", digest}}}
	own := p.info.Main
	own.Version = o.Version // a build from a working tree has none
	main := modulePackage(&own)
	main.LicenseDeclared = licence
	std := modulePackage(&debug.Module{Path: "std", Version: strings.TrimPrefix(strings.Fields(p.info.GoVersion)[0], "go")})
	d := document{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID, Name: fmt.Sprintf("%s-%s-%s", p.name, linux, p.arch),
		Namespace:    fmt.Sprintf("https://%s/spdx/%s-%s-%s-%s", namespace, p.name, linux, p.arch, digest),
		CreationInfo: creationInfo{o.Created.Format(time.RFC3339), []string{"Tool: tightrope-" + o.Version}},
		Packages:     []spdxPackage{root, main, std},
		Relationships: []relationship{{documentID, "DESCRIBES", root.ID}, {root.ID, "CONTAINS", main.ID},
			{main.ID, "DEPENDS_ON", std.ID}}}
	for _, m := range p.info.Deps { // sorted by the linker
		if m.Replace != nil {
			m = m.Replace
		}
		module := modulePackage(m)
		d.Packages = append(d.Packages, module)
		d.Relationships = append(d.Relationships, relationship{main.ID, "DEPENDS_ON", module.ID})
	}
	return json.MarshalIndent(d, "", "  ")
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
