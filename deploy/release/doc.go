// Package release bundles. It packs our programs into the files that people download:
//
//	bin/release/linux_amd64/tightrope ─┐   tightrope_VERSION_linux_amd64.tar.gz       with the lab
//	                       /labd …     ├─► tightrope-cli_VERSION_linux_amd64.tar.gz   the command line alone
//	bin/release/darwin_arm64/tightrope │   tightrope_VERSION_darwin_arm64.tar.gz
//	bin/release/images/ ───────────────┘   tightrope_VERSION_windows_amd64.zip
//	                                       tightrope_VERSION_images.tar
//	                                       an SBOM of each archive, tightrope.yaml for krew, SHA256SUMS
//
// The same programs and the same Options give the same bytes: times are given, never
// the clock's; names are sorted; every entry belongs to root and has a fixed mode.
// Each archive has the licences of what its programs are linked with.
package release

import (
	"path"
	"slices"
)

const (
	ours = "github.com/tightrope-dev/tightrope" // module
	cli  = "tightrope"
	sums = "SHA256SUMS"
	// manifest is krew's name for what describes a plugin: its name, and .yaml.
	manifest = cli + ".yaml"
)

// Platforms are those that there is a command line for.
var Platforms = []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64"}

// programs are the packages of all that is bundled. The lab runs the last four beside
// its server.
var programs = map[string]string{
	cli:          ours + "/cmd/tightrope",
	"labd":       ours + "/clusters/labd",
	"hyperkube":  ours + "/clusters/labd/hyperkube",
	"agent":      ours + "/cmd/agent",
	"controller": ours + "/cmd/controller",
	"standin":    ours + "/cmd/standin",
	"twin":       ours + "/cmd/twin",
}

// bundle is one archive.
type bundle struct {
	os, arch string
	lab      bool // with all programs, and not the command line alone
	plain    bool // of a platform that has one with the lab too
}

// bundles are the archives of some platforms, in their order.
func bundles(platforms, lab []string) (all []bundle) {
	for _, platform := range slices.Sorted(slices.Values(platforms)) {
		b := bundle{os: path.Dir(platform), arch: path.Base(platform)}
		if b.os == "linux" {
			b.plain = true
			if slices.Contains(lab, b.arch) {
				all = append(all, bundle{os: b.os, arch: b.arch, lab: true})
			}
		}
		all = append(all, b)
	}
	return all
}

func (b bundle) platform() string { return b.os + "/" + b.arch }

// folder is that of the programs.
func (b bundle) folder() string { return b.os + "_" + b.arch }

// stem is the archive's name without its ending. Linux has two archives; what a
// platform has most of is called tightrope.
func (b bundle) stem(version string) string {
	name := cli
	if b.plain {
		name += "-cli"
	}
	return name + "_" + version + "_" + b.os + "_" + b.arch
}

func (b bundle) file(version string) string {
	if b.os == "windows" {
		return b.stem(version) + ".zip"
	}
	return b.stem(version) + ".tar.gz"
}

// executable is how a program is called on the platform.
func (b bundle) executable(program string) string {
	if b.os == "windows" {
		return program + ".exe"
	}
	return program
}

func (b bundle) programs() []string {
	if !b.lab {
		return []string{cli}
	}
	var all []string
	for name := range programs {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
