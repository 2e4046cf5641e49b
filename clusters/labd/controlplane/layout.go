package controlplane

import "path"

// Addresses of the lab. They never meet the host's: the lab has a network
// namespace of its own.
const (
	address4, address6         = "172.31.0.1", "fd00:172:31::1" // of the API server, on the underlay
	serviceCIDR4, serviceCIDR6 = "10.96.0.0/16", "fd00:10:96::/112"
	serviceIP4, serviceIP6     = "10.96.0.1", "fd00:10:96::1"  // of the Service kubernetes.default
	dnsIP4, dnsIP6             = "10.96.0.10", "fd00:10:96::a" // of the Service kube-dns.kube-system
	ClusterDomain              = "cluster.local"
)

// DNSImage is the image name that runs CoreDNS out of this binary.
const DNSImage = "tightrope.dev/lab/coredns"

// Files, inside the lab's root.
const (
	PKIDir     = "/run/lab/pki"
	etcdSocket = "/run/lab/etcd.sock"
	etcdDir    = "/var/lib/etcd"

	// FaultsFile has rules about requests that the API server treats badly.
	FaultsFile = "/run/lab/api-faults.json"
)

func pkiFile(name string) string { return path.Join(PKIDir, name) }

// KubeconfigPath is the file with a client's credentials: admin,
// controller-manager, scheduler or node-<i>.
func KubeconfigPath(client string) string { return pkiFile(client + ".kubeconfig") }
