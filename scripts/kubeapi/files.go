package kubeapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"time"
)

// files writes what the programs read: certificates, the key of ServiceAccounts, tokens, and a kubeconfig for each user.
func (a *API) files() error {
	if err := os.MkdirAll(a.path("pki"), 0o700); err != nil {
		return err
	}
	var err error
	if a.ca, err = a.certificates(); err != nil {
		return err
	}
	var tokens bytes.Buffer
	users := append([]User{{Name: "admin", Groups: []string{"system:masters"}}}, a.o.Users...)
	for i, u := range users {
		token := make([]byte, 16)
		if _, err := rand.Read(token); err != nil {
			return err
		}
		groups := ""
		if len(u.Groups) > 0 {
			groups = `,"` + strings.Join(u.Groups, ",") + `"`
		}
		fmt.Fprintf(&tokens, "%x,%s,%d%s\n", token, u.Name, i+1, groups)
		if err := os.WriteFile(a.Kubeconfig(u.Name), a.kubeconfig(a.ca, fmt.Sprintf("%x", token)), 0o600); err != nil {
			return err
		}
		if i == 0 {
			a.admin = fmt.Sprintf("%x", token)
		}
	}
	return os.WriteFile(a.path("tokens.csv"), tokens.Bytes(), 0o600)
}

func (a *API) kubeconfig(ca []byte, token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, a.URL(), base64.StdEncoding.EncodeToString(ca), token)
}

// certificates writes the server's certificate and the key of ServiceAccounts, and returns the authority's certificate.
func (a *API) certificates() ([]byte, error) {
	authority, err := newKey()
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: from, NotAfter: from.Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	server, err := newKey()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: from, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost", "kubernetes.default.svc"},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, authority.Public(), authority)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, server.Public(), authority)
	if err != nil {
		return nil, err
	}
	accounts, err := newKey()
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(accounts.Public())
	if err != nil {
		return nil, err
	}
	ca := block("CERTIFICATE", rootDER)
	return ca, errors.Join(
		os.WriteFile(a.path("pki", "server.crt"), block("CERTIFICATE", leafDER), 0o600),
		a.writeKey("server.key", server), a.writeKey("accounts.key", accounts),
		os.WriteFile(a.path("pki", "accounts.pub"), block("PUBLIC KEY", public), 0o600),
	)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func (a *API) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(a.path("pki", name), block("EC PRIVATE KEY", der), 0o600)
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
