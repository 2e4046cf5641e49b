package controlplane

import "path"

// ClusterDomain is what the names of Services end with.
const ClusterDomain = "cluster.local"

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
