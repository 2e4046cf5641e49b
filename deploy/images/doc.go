// Package images packs. It makes OCI images of our programs out of the binaries
// themselves, without Docker and without a base image:
//
//	bin/linux_amd64/agent ─┐   one layer: /agent       ┌─ manifest linux/amd64 ◄── SBOM
//	bin/linux_arm64/agent ─┴─► user 65532, nothing else ┴─ manifest linux/arm64 ◄── SBOM
//	                                                    index "agent": the digest to deploy
//
// All images are in one OCI layout, which crane, skopeo, oras and containerd read.
// The same binaries and the same Options give the same bytes: times are given, never
// the clock's, and what is written down is sorted.
//
// The SBOM lists every module that Go's linker noted in a binary: see deploy/sbom. It is
// no file of the image but an artifact of its own, whose subject is the manifest of its
// platform: registries list it as a referrer, and the image stays one file.
//
// The images hold no CA certificates: the agent, the twin and the stand-in open no TLS
// connection, and the controller one to its API server, whose CA is in every pod.
package images

import (
	"slices"

	"github.com/tightrope-dev/tightrope/deploy/sbom"
)

// Programs are those that there are images of.
var Programs = []string{"controller", "agent", "twin", "standin"}

// Architectures are those that each image is for, on Linux.
var Architectures = []string{"amd64", "arm64"}

// User is who the programs run as: no account of any machine, and not root.
const User = 65532

const (
	linux     = "linux"
	sbomType  = sbom.MediaType
	namespace = "tightrope.dev" // the images' names without a registry
	project   = "https://github.com/tightrope-dev/tightrope"
	licence   = "Apache-2.0"

	annotationName       = "org.opencontainers.image.ref.name" // in a layout: which image this is
	annotationContainerd = "io.containerd.image.name"          // the same, for containerd's importer
	annotationVersion    = "org.opencontainers.image.version"
)

var purposes = map[string]string{
	"controller": "Drives policy rollouts: observe, canary, enforce, and back",
	"agent":      "Attempts connections and reports what came of them",
	"twin":       "Stands in a probe pod for a service that must not be touched",
	"standin":    "Stands in for the services of a platform in a rehearsal",
}

func known(program string) bool { return slices.Contains(Programs, program) }
