package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/oci"
)

// Config is one node. The supervisor writes it as JSON.
type Config struct {
	Name       string            // node-1, node-2, …
	Index      int               // from 1
	IPs        []string          // on the underlay, one of each family
	PodCIDRs   []string          // of this node's pods, one of each family
	ClusterDNS string            // address of the DNS Service
	Kubeconfig string            // file with the node's credentials
	Images     map[string]string // image name → path of a program in the lab, and arguments
	Unpacked   []oci.Image       // out of the lab's image layout
	Dataplane  string            // profile of its data plane
	RootDir    string            // the kubelet's directory; this node's alone
	APIServer  string            // host:port on the underlay
}

func readConfig(file string) (Config, error) {
	var c Config
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("node configuration %q: %w", file, err)
	}
	for name, value := range map[string]string{"Name": c.Name, "IPs": strings.Join(c.IPs, ","), "PodCIDRs": strings.Join(c.PodCIDRs, ","),
		"Kubeconfig": c.Kubeconfig, "RootDir": c.RootDir} {
		if value == "" {
			return c, fmt.Errorf("node configuration %q: %s is empty", file, name)
		}
	}
	if !filepath.IsAbs(c.RootDir) {
		return c, fmt.Errorf("node configuration %q: RootDir %q is not an absolute path", file, c.RootDir)
	}
	return c, nil
}
