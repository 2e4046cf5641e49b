package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

// validity of certificates: a lab does not live longer.
const validity = 365 * 24 * time.Hour

// authority signs certificates with one key, which never leaves this process.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate and its key, PEM.
type pair struct{ cert, key []byte }

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate(pkix.Name{CommonName: name})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: encodePEM("CERTIFICATE", der)}, nil
}

func certificate(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // crypto/rand never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
	}
}

// sign makes a client certificate, and a server's too when it is given names.
func (a *authority) sign(subject pkix.Name, names []string, addresses []net.IP) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := certificate(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(names)+len(addresses) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames, template.IPAddresses = names, addresses
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return pair{}, err
	}
	private, err := encodeKey(key)
	return pair{cert: encodePEM("CERTIFICATE", der), key: private}, err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return encodePEM("EC PRIVATE KEY", der), err
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// WriteCredentials makes the lab's authorities, certificates and kubeconfigs, in
// PKIDir, and returns an administrator's kubeconfig for the address that reaches
// the lab from outside.
func WriteCredentials(f layout.Families, nodes int, outside string) (kubeconfig []byte, err error) {
	ca, err := newAuthority("tightrope-lab-ca")
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	front, err := newAuthority("tightrope-lab-front-proxy-ca")
	if err != nil {
		return nil, fmt.Errorf("front proxy authority: %w", err)
	}
	if err := writeFiles(map[string][]byte{"ca.crt": ca.pem, "front-proxy-ca.crt": front.pem}); err != nil {
		return nil, err
	}
	if err := writeServerPairs(ca, front, f); err != nil {
		return nil, err
	}
	if err := writeAccountKey(); err != nil {
		return nil, err
	}
	return writeClients(ca, f, nodes, outside)
}

func writeServerPairs(ca, front *authority, f layout.Families) error {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + ClusterDomain}
	addresses := []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, a := range slices.Concat(f.Addresses(), f.ServiceIPs()) {
		addresses = append(addresses, net.ParseIP(a))
	}
	server, err := ca.sign(pkix.Name{CommonName: "kube-apiserver"}, names, addresses)
	if err != nil {
		return err
	}
	kubelet, err := ca.sign(pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}, nil, nil)
	if err != nil {
		return err
	}
	proxy, err := front.sign(pkix.Name{CommonName: "front-proxy-client"}, nil, nil)
	if err != nil {
		return err
	}
	return writeFiles(map[string][]byte{
		"apiserver.crt": server.cert, "apiserver.key": server.key,
		"kubelet-client.crt": kubelet.cert, "kubelet-client.key": kubelet.key,
		"front-proxy-client.crt": proxy.cert, "front-proxy-client.key": proxy.key,
	})
}

// writeAccountKey makes the key that signs service account tokens.
func writeAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	return writeFiles(map[string][]byte{"sa.key": private, "sa.pub": encodePEM("PUBLIC KEY", public)})
}

func writeFiles(files map[string][]byte) error {
	for name, data := range files {
		if err := os.WriteFile(pkiFile(name), data, 0o600); err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
	}
	return nil
}
