package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/file"
	"github.com/bellhop-mesh/bellhop/remote"
)

// handOff is how this proxy hands calls over; nil: never.
func (n *node) handOff() (*remote.Client, error) {
	c := &n.Config.HandOff
	if n.Role != config.Local || c.TokenFile == "" && !c.TLS.Set() {
		return nil, nil
	}
	out := &remote.Client{Host: n.Config.Host, Instance: n.instance}
	var err error
	if c.TokenFile != "" {
		if out.Token, err = readToken(c.TokenFile); err != nil {
			return nil, fmt.Errorf("handoff.token_file: %w", err)
		}
	}
	if c.TLS.Set() {
		if out.TLS, err = clientTLS(c.TLS); err != nil {
			return nil, fmt.Errorf("handoff.tls: %w", err)
		}
	}
	return out, nil
}

// accept is how this proxy admits hand-offs; nil: never.
func (n *node) accept() (*remote.Server, error) {
	c := &n.Config.Remote
	if n.Role != config.Remote {
		return nil, nil
	}
	if c.TokenFile == "" && c.TLS.CA == "" {
		n.Log.Warn("hand-offs are refused: neither remote.token_file nor remote.tls.ca is set; callers that fall back are served")
		return nil, nil
	}
	out := &remote.Server{Grant: remote.Grant{Calls: int32(c.Grant.Calls), Bytes: int64(c.Grant.Bytes), Valid: c.Grant.Valid}}
	var err error
	if c.TokenFile != "" {
		if out.Token, err = readToken(c.TokenFile); err != nil {
			return nil, fmt.Errorf("remote.token_file: %w", err)
		}
	}
	return out, nil
}

// join lists this proxy in its cluster's registry.
func (n *node) join(ctx context.Context) error {
	c := &n.Config.Remote
	if n.Role != config.Remote || c.Register == config.Off {
		return nil
	}
	addr := c.Advertise
	for i := range n.places {
		if p := &n.places[i]; addr == "" && p.Net == "tcp" && p.Service == "" {
			addr = p.reachable()
		}
	}
	if addr == "" {
		return &ConfigError{errors.New("remote.advertise: there is no tcp listener to register; add one, write the address, or register: off")}
	}
	var leave func()
	var err error
	if name, ok := strings.CutPrefix(c.Register, "zookeeper:"); ok {
		leave, err = n.joinEnsemble(name, addr)
	} else {
		leave, err = file.Register(ctx, c.Register, registry.Remote{Addr: addr, Zone: n.Config.Zone})
	}
	if err != nil {
		return fmt.Errorf("remote.register: %w", err)
	}
	n.leave = leave
	n.onClose(leave)
	n.Log.Info("registered", "addr", addr, "in", c.Register)
	return nil
}

// CheckFiles judges the files that a configuration names, as a start would: tokens, digests, certificates and keys, owners of
// sockets. The error joins everything that is wrong.
func CheckFiles(c *config.Config, role config.Role) error {
	var errs []error
	check := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	token := func(key, path string) {
		if path != "" {
			_, err := readToken(path)
			check(key, err)
		}
	}
	server := func(key string, t config.ServerTLS) {
		if t.Set() {
			_, err := serverTLS(t, false)
			check(key, err)
		}
	}
	for i := range c.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		_, _, err := owner(c.Listeners[i].Owner)
		check(key+".owner", err)
		server(key+".tls", c.Listeners[i].TLS)
	}
	for i := range c.Registry.ZooKeeper {
		z, key := &c.Registry.ZooKeeper[i], fmt.Sprintf("registry.zookeeper[%d]", i)
		_, err := readDigest(z.DigestFile)
		check(key+".digest_file", err)
		if z.TLS.Set() {
			_, err := clientTLS(z.TLS)
			check(key+".tls", err)
		}
	}
	if role == config.Remote {
		token("remote.token_file", c.Remote.TokenFile)
		server("remote.tls", c.Remote.TLS)
		return errors.Join(errs...)
	}
	token("handoff.token_file", c.HandOff.TokenFile)
	if c.HandOff.TLS.Set() {
		_, err := clientTLS(c.HandOff.TLS)
		check("handoff.tls", err)
	}
	return errors.Join(errs...)
}

// Bounds of a token, in bytes.
const (
	minToken = 16
	maxToken = 4096
)

// readSecret reads a file without the white space around its content, and no more of it than one byte above limit.
func readSecret(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	return bytes.TrimSpace(b), err
}

func readToken(path string) (string, error) {
	b, err := readSecret(path, maxToken)
	if err != nil {
		return "", err
	}
	if len(b) < minToken || len(b) > maxToken {
		return "", fmt.Errorf("%s holds %d bytes; a token has %d to %d", path, len(b), minToken, maxToken)
	}
	return string(b), nil
}

// serverTLS is the accepting side. With a CA client certificates are verified; optional lets those without one in, who
// must then show a token.
func serverTLS(t config.ServerTLS, optional bool) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if t.CA == "" {
		return out, nil
	}
	if out.ClientCAs, err = readCA(t.CA); err != nil {
		return nil, err
	}
	out.ClientAuth = tls.RequireAndVerifyClientCert
	if optional {
		out.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return out, nil
}

func clientTLS(t config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		out.Certificates = []tls.Certificate{cert}
	}
	if t.CA != "" {
		var err error
		if out.RootCAs, err = readCA(t.CA); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readCA(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls: ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("tls: ca: %s has no certificate in PEM form", path)
	}
	return pool, nil
}
