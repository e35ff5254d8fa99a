package zkensemble

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Netty's classes that the jar's own class path leaves out; they are in the same Debian package as the others.
const nettyJars = ":/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar"

// Certificates are an authority of a test's own, with a certificate for the servers and one for a client.
type Certificates struct {
	Authority *x509.CertPool
	Client    tls.Certificate
	dir       string
}

// MakeCertificates makes new ones and writes what servers need into dir. They are good for a day, at 127.0.0.1.
func MakeCertificates(dir string) (*Certificates, error) {
	ca, caKey, err := issue("authority", nil, nil)
	if err != nil {
		return nil, err
	}
	server, serverKey, err := issue("server", ca, caKey)
	if err != nil {
		return nil, err
	}
	client, clientKey, err := issue("client", ca, caKey)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return nil, err
	}
	store := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certificate(server)...)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "server.pem"), store, 0o600),
		os.WriteFile(filepath.Join(dir, "authority.pem"), certificate(ca), 0o600),
	); err != nil {
		return nil, err
	}
	c := &Certificates{Authority: x509.NewCertPool(), Client: tls.Certificate{Certificate: [][]byte{client.Raw}, PrivateKey: clientKey}, dir: dir}
	c.Authority.AddCert(ca)
	return c, nil
}

func certificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// issue makes a certificate; without an authority it is one.
func issue(name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	if by == nil {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		by, byKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
	if err != nil {
		return nil, nil, err
	}
	made, err := x509.ParseCertificate(der)
	return made, key, err
}

// config are the lines of zoo.cfg that open a port for TLS, to clients with a certificate only.
func (c *Certificates) config(port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "secureClientPort=%d\nsecureClientPortAddress=127.0.0.1\n", port)
	b.WriteString("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n")
	for store, file := range map[string]string{"keyStore": "server.pem", "trustStore": "authority.pem"} {
		fmt.Fprintf(&b, "ssl.%s.location=%s\nssl.%s.type=PEM\n", store, filepath.Join(c.dir, file), store)
	}
	return b.String()
}
