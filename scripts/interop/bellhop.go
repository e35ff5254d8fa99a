package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Bounds of the proxy's start and end.
const (
	proxyReady = 15 * time.Second
	proxyLeave = 5 * time.Second
)

// Proxy is a running bellhop. Its run directory is its own.
type Proxy struct {
	Addr string // its TCP listener, which tells framings apart by a connection's first bytes
	Lax  string // a unix listener that is pinned to binary-lax, which cannot be told apart

	dir     string
	bound   map[string]string // unix listeners bound to one service, by service
	process *process
}

// Setup is what a proof wants of the proxy.
type Setup struct {
	Binary   string   // the program
	Registry string   // a file registry
	Bound    []string // services that get a listener of their own
}

// StartProxy runs `bellhop local` and returns once its address file says that it serves. The caller must Stop it.
func StartProxy(ctx context.Context, s Setup) (*Proxy, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return nil, err
	}
	p := &Proxy{dir: dir, bound: map[string]string{}}
	if err := p.start(ctx, s); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) start(ctx context.Context, s Setup) error {
	registry, config := filepath.Join(p.dir, "services.yaml"), filepath.Join(p.dir, "bellhop.yaml")
	if err := os.WriteFile(registry, []byte(s.Registry), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(config, []byte(p.config(registry, s.Bound)), 0o600); err != nil {
		return err
	}
	var err error
	if p.process, err = start("bellhop", s.Binary, "local", "-c", config); err != nil {
		return err
	}
	deadline := time.Now().Add(proxyReady)
	for { // a file of another process is looked at again and again: there is nothing to wait on
		if p.Addr, err = p.serving(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.process.exited:
			return fmt.Errorf("bellhop ended (%v): %s", p.process.err, p.process.stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("bellhop does not serve after %v: %w; it said: %s", proxyReady, err, p.process.stderr.String())
		}
	}
}

// config is written by hand, as an operator would.
func (p *Proxy) config(registry string, bound []string) string {
	p.Lax = "unix:" + filepath.Join(p.dir, "lax.sock")
	var b strings.Builder
	fmt.Fprintf(&b, "run_dir: %s\n", filepath.Join(p.dir, "run"))
	fmt.Fprintf(&b, "registry: {path: %s, last_known_good: \"off\"}\n", registry)
	fmt.Fprintf(&b, "allow_cidrs: [127.0.0.0/8]\ndrain: {grace: 0s, timeout: 2s}\nlisteners:\n")
	fmt.Fprintf(&b, "  - {net: tcp, addr: \"127.0.0.1:0\"}\n")
	fmt.Fprintf(&b, "  - {net: unix, addr: %s, framing: binary-lax}\n", strings.TrimPrefix(p.Lax, "unix:"))
	for i, service := range bound {
		path := filepath.Join(p.dir, fmt.Sprintf("bound-%d.sock", i))
		p.bound[service] = "unix:" + path
		fmt.Fprintf(&b, "  - {net: unix, addr: %s, service: %s}\n", path, service)
	}
	return b.String()
}

// serving reads the TCP listener out of the address file, once its state is serving.
func (p *Proxy) serving() (string, error) {
	raw, err := os.ReadFile(filepath.Join(p.dir, "run/pub/address"))
	if err != nil {
		return "", err
	}
	var file struct {
		State string
		Local []struct{ Net, Addr string }
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return "", err
	}
	if file.State != "serving" {
		return "", fmt.Errorf("the address file says %q", file.State)
	}
	for _, l := range file.Local {
		if l.Net == "tcp" {
			return l.Addr, nil
		}
	}
	return "", errors.New("the address file names no tcp listener")
}

// Stop ends the proxy and removes its files.
func (p *Proxy) Stop() {
	if p.process != nil {
		_ = p.process.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.process.exited:
		case <-time.After(proxyLeave):
		}
		p.process.stop()
	}
	_ = os.RemoveAll(p.dir)
}

// Said is the end of what the proxy wrote to standard error.
func (p *Proxy) Said() string { return p.process.stderr.String() }

// MatrixSetup registers one service for each target; the last of each language also has a listener of its own.
func MatrixSetup(binary string, targets []Target) Setup {
	var b strings.Builder
	b.WriteString("services:\n")
	var bound []string
	for _, t := range targets {
		// Go's library sends a oneway as a call, and OSP has none: the registry says which methods never answer.
		fmt.Fprintf(&b, "  %s: {framing: %s, timeout: 5s, oneway: [notify], endpoints: [%q]}\n", t.Service(), t.Framing, t.Addr)
		if boundTo[t.Lang] == t.Framing {
			bound = append(bound, t.Service())
		}
	}
	return Setup{Binary: binary, Registry: b.String(), Bound: bound}
}

// boundTo are the targets that callers without a service name reach, each by a listener of its own.
var boundTo = map[string]string{
	"go": "framed-binary", "cpp": "theader-compact", "python": "binary", "java": "framed-compact", "node": "compact",
}

// IsolationSetup lets attackers and victims share one upstream connection of each service.
func IsolationSetup(binary string, fields []Field) Setup {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "  %s: {framing: %s, mode: %s, max_connections: 1, max_pending: 64, timeout: 5s, oneway: [notify], endpoints: [%q]}\n",
			f.Service, f.To.Framing, f.Mode, f.To.Addr)
	}
	return Setup{Binary: binary, Registry: b.String()}
}
