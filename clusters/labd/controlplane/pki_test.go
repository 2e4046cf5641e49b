package controlplane

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestKubeconfigsTrustTheServerAndNobodyElse(t *testing.T) {
	ca, err := newAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority("other")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.sign(pkix.Name{CommonName: "server"}, []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.sign(pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := kubeconfig("https://127.0.0.1:1", "admin", ca.pem, client)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(cert, roots []byte, usage x509.ExtKeyUsage) error {
		block, _ := pem.Decode(cert)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		_, err = c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := verify(server.cert, cfg.CAData, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("the server is not trusted: %v", err)
	}
	if err := verify(cfg.CertData, ca.pem, x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("the client is not trusted: %v", err)
	}
	if verify(server.cert, other.pem, x509.ExtKeyUsageServerAuth) == nil {
		t.Error("another authority vouches for the server")
	}
	if verify(client.cert, ca.pem, x509.ExtKeyUsageServerAuth) == nil {
		t.Error("a client's certificate passes for a server's")
	}
}
