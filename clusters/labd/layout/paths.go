// Package layout says where the things of a lab are: paths inside its root, and
// addresses. It is for those who must agree on them, and needs no part of Kubernetes.
package layout

// Programs and folders inside the lab's root.
const (
	Labd      = "/bin/labd"
	Hyperkube = "/bin/hyperkube"
	Images    = "/images"
	OCI       = "/oci" // the OCI layout of this lab's images, read-only
	Unpacked  = "/unpacked"
	State     = "/run/lab"
	Logs      = "/var/log/lab"
)

// DNSImage is the image name that runs CoreDNS out of hyperkube.
const DNSImage = "tightrope.dev/lab/coredns"
