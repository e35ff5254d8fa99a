package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// The load of every measurement.
const (
	many   = 64  // callers of most paths; what one multiplexed connection may carry
	size   = 128 // bytes of the echoed string
	warmup = 200 * time.Millisecond
)

// path is one way from the load to the server.
type path struct {
	name, network string
	proxy         string // haproxy, bellhop-mux, bellhop-excl: those of one network share a listener
	mode          string // bellhop's; empty: HAProxy
	callers       int
	target        string // where the load goes, as thriftperf writes it
	pid           int    // of the proxy
}

// place names the listener of a path.
func (p *path) place() string { return p.proxy + "-" + p.network }

// allPaths lists them in the order in which they are measured. One caller gets an exclusive service: that is the default
// of plain Thrift, and it has one call in flight either way.
func allPaths() (all []path) {
	for _, p := range []path{
		{network: "tcp", proxy: "haproxy", callers: many},
		{network: "tcp", proxy: "bellhop-mux", mode: "multiplexed", callers: many},
		{network: "tcp", proxy: "bellhop-excl", mode: "exclusive", callers: many},
		{network: "unix", proxy: "haproxy", callers: many},
		{network: "unix", proxy: "bellhop-mux", mode: "multiplexed", callers: many},
		{network: "tcp", proxy: "haproxy", callers: 1},
		{network: "tcp", proxy: "bellhop-excl", mode: "exclusive", callers: 1},
	} {
		p.name = fmt.Sprintf("%s%d", p.place(), p.callers)
		all = append(all, p)
	}
	return all
}

// rig is everything that runs.
type rig struct {
	dir     string
	server  *prove.Process
	haproxy *prove.Process
	bellhop *prove.Bellhop
	paths   []path
}

// newRig starts the server and both proxies. The caller stops the rig, also after an error.
func newRig(ctx context.Context) (*rig, error) {
	r := &rig{}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var err error
	if r.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return r, err
	}
	servers, err := r.startServer()
	if err != nil {
		return r, err
	}
	places, err := r.choosePlaces()
	if err != nil {
		return r, err
	}
	if err := r.startHAProxy(ctx, places, servers); err != nil {
		return r, err
	}
	if err := r.startBellhop(ctx, places, servers); err != nil {
		return r, err
	}
	for i := range r.paths {
		p := &r.paths[i]
		p.target = p.network + ":" + places[p.place()]
		p.pid = r.haproxy.PID()
		if p.mode != "" {
			p.pid = r.bellhop.Process.PID()
		}
	}
	return r, nil
}

func (r *rig) stop() {
	if r.bellhop != nil {
		r.bellhop.Process.Stop(100 * time.Millisecond) // nobody is calling: there is nothing to drain
	}
	r.haproxy.Stop(time.Second)
	r.server.Stop(time.Second)
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// startServer returns its addresses by network.
func (r *rig) startServer() (map[string]string, error) {
	var err error
	r.server, err = prove.Start(r.dir, "server", "bin/thriftperf", "serve", "--framing", "framed-binary",
		"--listen", "tcp:127.0.0.1:0", "--listen", "unix:"+filepath.Join(r.dir, "server.sock"))
	if err != nil {
		return nil, err
	}
	addrs := map[string]string{}
	for {
		line, err := r.server.Line()
		if err != nil {
			return nil, err
		}
		if line == "ready" {
			return addrs, nil
		}
		network, addr, _ := strings.Cut(strings.TrimPrefix(line, "listening "), ":")
		addrs[network] = addr
	}
}

// choosePlaces gives every path the address of its listener, by the listener's name.
func (r *rig) choosePlaces() (map[string]string, error) {
	places := map[string]string{}
	r.paths = allPaths()
	for i := range r.paths {
		p := &r.paths[i]
		if places[p.place()] != "" {
			continue
		}
		addr := filepath.Join(r.dir, p.place()+".sock")
		if p.network == "tcp" {
			var err error
			if addr, err = prove.FreePort(); err != nil {
				return nil, err
			}
		}
		places[p.place()] = addr
	}
	return places, nil
}

const haproxyConfig = `global
  nbthread 1
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
`

func (r *rig) startHAProxy(ctx context.Context, places, servers map[string]string) error {
	var b strings.Builder
	b.WriteString(haproxyConfig)
	for _, network := range []string{"tcp", "unix"} {
		at := map[string]string{"tcp": "", "unix": "unix@"}[network]
		fmt.Fprintf(&b, "listen %s\n  bind %s%s\n  server s %s%s\n", network, at, places["haproxy-"+network], at, servers[network])
	}
	file := filepath.Join(r.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		binary = "/usr/sbin/haproxy"
	}
	if r.haproxy, err = prove.Start(r.dir, "haproxy", binary, "-db", "-f", file); err != nil {
		return err
	}
	return r.haproxy.AwaitAddress(ctx, "tcp", places["haproxy-tcp"])
}

// startBellhop runs one worker; each path has a listener and a service of its own, and callers name no service, as
// behind HAProxy. One multiplexed connection may carry as many calls as there are callers.
func (r *rig) startBellhop(ctx context.Context, places, servers map[string]string) error {
	var listeners, services strings.Builder
	done := map[string]bool{}
	for _, p := range r.paths {
		name := p.place()
		if p.mode == "" || done[name] {
			continue
		}
		done[name] = true
		fmt.Fprintf(&listeners, "  - {name: %s, net: %s, addr: %q, service: %s}\n", name, p.network, places[name], name)
		addr := servers[p.network]
		if p.network == "unix" {
			addr = "unix:" + addr
		}
		fmt.Fprintf(&services, "  %s: {framing: framed-binary, mode: %s, endpoints: [%q]", name, p.mode, addr)
		if p.mode == "multiplexed" {
			fmt.Fprintf(&services, ", depth: %d", many)
		}
		services.WriteString("}\n")
	}
	// The address file is only written once a listener that it can name is there.
	fmt.Fprintf(&listeners, "  - {net: unix, addr: call.sock}\n")
	r.bellhop = &prove.Bellhop{
		Dir:      r.dir,
		Config:   "workers: 1\nlog: {level: warn}\nlisteners:\n" + listeners.String(),
		Services: "services:\n" + services.String(),
	}
	return r.bellhop.Start(ctx)
}

// result is one measurement of one path.
type result struct {
	Path           string  `json:"path"`
	Round          int     `json:"round"`
	ProxyUS        float64 `json:"proxy_cpu_us_per_call"`
	ProxyCores     float64 `json:"proxy_cores"`
	GeneratorUS    float64 `json:"generator_cpu_us_per_call"`
	ServerUS       float64 `json:"server_cpu_us_per_call"`
	CallsPerSecond float64 `json:"calls_per_second"`
	P50            int64   `json:"p50_us"`
	P99            int64   `json:"p99_us"`
}

// load runs thriftperf on a path.
func (r *rig) load(ctx context.Context, p path, duration time.Duration) (*prove.Measured, error) {
	return prove.Load(ctx, duration+10*time.Second, "--target", p.target, "--connections", strconv.Itoa(p.callers),
		"--size", strconv.Itoa(size), "--warmup", warmup.String(), "--duration", duration.String(),
		"--cpu-of", fmt.Sprintf("%d,%d", p.pid, r.server.PID()))
}

func (r *rig) measure(ctx context.Context, p path, duration time.Duration) (result, error) {
	m, err := r.load(ctx, p, duration)
	if err != nil {
		return result{}, err
	}
	return result{
		Path: p.name, ProxyUS: m.Processes[0].US, ProxyCores: m.Processes[0].Cores, ServerUS: m.Processes[1].US,
		GeneratorUS: m.CPU.US, CallsPerSecond: m.CallsPerSecond, P50: m.Latency.P50, P99: m.Latency.P99,
	}, nil
}
