package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.key = newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) issue(name string) tls.Certificate {
	key := newKey(a.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestHandOffOverTLS: a client certificate that verifies stands for the token; one of another authority, or none, is
// refused.
func TestHandOffOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	r, _ := tier(t, &remote.Server{Grant: remote.Grant{Calls: 10}},
		&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = r.Listen(proxy.ListenerConfig{Name: "tls", Listener: l, TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.issue("remote")}, ClientCAs: ours.pool, ClientAuth: tls.VerifyClientCertIfGiven,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"verified", []tls.Certificate{ours.issue("host")}, true},
		{"another authority", []tls.Certificate{theirs.issue("host")}, false},
		{"no certificate", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, addr := start(t, 1, func(cfg *proxy.Config) {
				cfg.HandOff = &remote.Client{Host: "h1", TLS: &tls.Config{RootCAs: ours.pool, Certificates: c.certs}}
			})
			withRemotes(t, p, l.Addr().String(), &registry.Service{Name: "Echo", Remote: true})
			var got text
			_, err := dial(t, addr, "Echo", framed(), binary()).Call(context.Background(), "say", &text{"over tls"}, &got)
			if c.ok && (err != nil || got.s != "over tls") {
				t.Fatalf("got %q, %v", got.s, err)
			}
			if !c.ok && err == nil {
				t.Fatal("a peer without a verified certificate was served")
			}
		})
	}
}

// TestPlainBesideTLS: hand-offs come over TLS and callers that fall back come plain, to one address. A plain hand-off
// without a token is refused, and one who says nothing is not waited for.
func TestPlainBesideTLS(t *testing.T) {
	ours := newAuthority(t)
	r, _ := tier(t, &remote.Server{Grant: remote.Grant{Calls: 10}},
		&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = r.Listen(proxy.ListenerConfig{Name: "both", Listener: l, PlainToo: true, TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.issue("remote")}, ClientCAs: ours.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got text
	if _, err := dial(t, l.Addr().String(), "Echo", framed(), binary()).Call(context.Background(), "say", &text{"plain"}, &got); err != nil || got.s != "plain" {
		t.Fatalf("plain: %q, %v", got.s, err)
	}
	for _, c := range []struct {
		name string
		tls  *tls.Config
		ok   bool
	}{
		{"over TLS", &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{ours.issue("host")}}, true},
		{"plain hand-off", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, addr := start(t, 1, func(cfg *proxy.Config) { cfg.HandOff = &remote.Client{Host: "h1", TLS: c.tls} })
			withRemotes(t, p, l.Addr().String(), &registry.Service{Name: "Echo", Remote: true})
			var got text
			_, err := dial(t, addr, "Echo", framed(), binary()).Call(context.Background(), "say", &text{"handed over"}, &got)
			if c.ok != (err == nil && got.s == "handed over") {
				t.Fatalf("got %q, %v", got.s, err)
			}
		})
	}
}

// TestSilentBesideTLS: the wait for the first byte ends.
func TestSilentBesideTLS(t *testing.T) {
	ours := newAuthority(t)
	p, _ := start(t, 1, func(c *proxy.Config) { c.Timeouts.Detect = 20 * time.Millisecond })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{ours.issue("remote")}}
	if err := p.Listen(proxy.ListenerConfig{Name: "both", Listener: l, PlainToo: true, TLS: cfg}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v: the connection was not closed", n, err)
	}
}
