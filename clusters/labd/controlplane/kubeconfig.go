package controlplane

import (
	"crypto/x509/pkix"
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// writeClients makes one kubeconfig per component and node, and returns the
// administrator's for use outside.
func writeClients(ca *authority, f layout.Families, nodes int, outside string) ([]byte, error) {
	clients := map[string]pkix.Name{
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
		"admin":              {CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
	}
	for i := 1; i <= nodes; i++ {
		clients[fmt.Sprintf("node-%d", i)] = pkix.Name{
			CommonName: fmt.Sprintf("system:node:node-%d", i), Organization: []string{"system:nodes"}}
	}
	var admin []byte
	for name, subject := range clients {
		client, err := ca.sign(subject, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("credentials of %s: %w", name, err)
		}
		inside, err := kubeconfig("https://"+f.Server(), name, ca.pem, client)
		if err != nil {
			return nil, err
		}
		if err := writeFiles(map[string][]byte{name + ".kubeconfig": inside}); err != nil {
			return nil, err
		}
		if name == "admin" {
			if admin, err = kubeconfig(outside, name, ca.pem, client); err != nil {
				return nil, err
			}
		}
	}
	return admin, nil
}

func kubeconfig(server, user string, ca []byte, client pair) ([]byte, error) {
	const name = "tightrope-lab"
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	c.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: client.cert, ClientKeyData: client.key}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user, Namespace: "default"}
	c.CurrentContext = name
	b, err := clientcmd.Write(*c)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", user, err)
	}
	return b, nil
}
