package main

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
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// startRemote runs a remote proxy that alone knows demo.Far, and returns it once it is registered.
func startRemote(t *testing.T, h *host, more string) *program {
	t.Helper()
	h.write("far.d/demo.yaml", "services:\n  demo.Far: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	h.write("services.d/demo.yaml", "services:\n  demo.Far: {framing: osp, remote: true}\n")
	cfg := h.write("remote.yaml", fmt.Sprintf("run_dir: %s\nlisteners: [{net: tcp, addr: \"127.0.0.1:0\"}]\nregistry: {path: %s}\ndrain: {grace: 0s}\n"+
		"remote: {register: %s, %s}\n", h.path("remote"), h.path("far.d"), h.path("services.d"), more))
	p := begin(t, "remote", "-c", cfg)
	h.await("remote", serving)
	eventually(t, "the remote proxy registers itself", func() bool {
		found, err := filepath.Glob(h.path("services.d/remote-127.0.0.1-*.yaml"))
		return err == nil && len(found) == 1
	})
	return p
}

func hasRemote(f *addrfile.File) bool { return serving(f) && len(f.Remote) == 1 }

// TestHandOff: a call to a service that only the remote proxy knows goes there and comes back, with a token and with
// certificates; callers that fall back come to the same address, plain.
func TestHandOff(t *testing.T) {
	for _, way := range []string{"token", "tls"} {
		t.Run(way, func(t *testing.T) {
			h := newHost(t)
			token := h.write("token", "0123456789abcdef\n")
			ca := newCA(t, h)
			here, there := "handoff: {token_file: "+token+"}", "token_file: "+token
			if way == "tls" {
				here = fmt.Sprintf("handoff: {tls: {ca: %s, %s}}", ca.path, ca.issue("host"))
				there = fmt.Sprintf("tls: {ca: %s, %s}", ca.path, ca.issue("remote"))
			}
			r := startRemote(t, h, there)
			begin(t, "local", "-c", h.quick("local", here))
			f := h.await("local", hasRemote)
			if _, err := h.caller("local", f).Call("demo.Far", "say", argument, 5*time.Second); err != nil {
				t.Fatalf("handed over: %v", err)
			}
			_, metrics := h.get("local", "/metrics")
			mustHave(t, metrics, `bellhop_handed_over_total{code="no_endpoint"} 1`)
			_, text, _ := once(t, "status", "--run-dir", h.path("local"), "--window", "10ms")
			mustHave(t, text, "REMOTE PROXY", f.Remote[0].Addr, "handed over to the remote tier since the start (no_endpoint 1)")
			c, err := osppeer.Dial("tcp", f.Remote[0].Addr, protocol.OSP, protocol.Binary)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Call("demo.Far", "say", argument, 5*time.Second); err != nil {
				t.Errorf("fallen back: %v", err)
			}
			_ = c.Close()
			_, text = h.get("remote", "/config")
			if strings.Contains(text, "0123456789abcdef") {
				t.Errorf("/config shows a secret:\n%s", text)
			}
			mustHave(t, text, `"token_file"`)
			if code := r.end(syscall.SIGTERM); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if !gone(h.path("services.d/remote-" + strings.ReplaceAll(f.Remote[0].Addr, ":", "-") + ".yaml")) {
				t.Error("it is still registered")
			}
		})
	}
}

// TestHandOffRefused: another token is refused, both sides say why, and the call gets a fault.
func TestHandOffRefused(t *testing.T) {
	h := newHost(t)
	startRemote(t, h, "token_file: "+h.write("token", "0123456789abcdef"))
	p := begin(t, "local", "-c", h.quick("local", "handoff: {token_file: "+h.write("other", "fedcba9876543210")+"}"))
	f := h.await("local", hasRemote)
	if _, err := h.caller("local", f).Call("demo.Far", "say", argument, 2*time.Second); err == nil {
		t.Fatal("a wrong token was admitted")
	}
	eventually(t, "the local proxy says why", func() bool {
		return strings.Contains(p.out.String(), "a remote proxy refused the hand-off") && strings.Contains(p.out.String(), "compare the token files")
	})
	_, metrics := h.get("remote", "/metrics")
	mustHave(t, metrics, "bellhop_handoff_refused_total 1")
}

// authority signs certificates into files.
type authority struct {
	h    *host
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string
}

func newCA(t *testing.T, h *host) *authority {
	t.Helper()
	a := &authority{h: h, t: t}
	a.cert, a.key = a.sign("authority", nil)
	a.path = h.write("ca.pem", block("CERTIFICATE", a.cert.Raw))
	return a
}

// issue writes a certificate and its key, and returns the configuration that names them.
func (a *authority) issue(name string) string {
	cert, key := a.sign(name, a.cert)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprintf("cert: %s, key: %s", a.h.write(name+".pem", block("CERTIFICATE", cert.Raw)), a.h.write(name+".key", block("EC PRIVATE KEY", der)))
}

func (a *authority) sign(name string, by *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, parent := a.key, by
	if by == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
		signer, parent = key, tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
