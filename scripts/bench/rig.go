package main

import (
	"context"
	"encoding/json"
	"errors"
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
	callers = 64
	size    = 128 // bytes of the echoed string
	warmup  = 300 * time.Millisecond
)

// path is one way from the load to the server.
type path struct {
	name, network string
	mode          string // bellhop's; empty: HAProxy
	target        string // where the load goes, as thriftperf writes it
	pid           int    // of the proxy
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
		p.target = p.network + ":" + places[p.name]
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

// choosePlaces gives every path an address, by the path's name.
func (r *rig) choosePlaces() (map[string]string, error) {
	places := map[string]string{}
	for _, network := range []string{"tcp", "unix"} {
		for _, p := range []path{{name: "haproxy"}, {name: "bellhop-mux", mode: "multiplexed"}, {name: "bellhop-excl", mode: "exclusive"}} {
			p.name, p.network = p.name+"-"+network, network
			r.paths = append(r.paths, p)
			addr := filepath.Join(r.dir, p.name+".sock")
			if network == "tcp" {
				var err error
				if addr, err = prove.FreePort(); err != nil {
					return nil, err
				}
			}
			places[p.name] = addr
		}
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
	for _, p := range r.paths {
		if p.mode == "" {
			continue
		}
		fmt.Fprintf(&listeners, "  - {name: %s, net: %s, addr: %q, service: %s}\n", p.name, p.network, places[p.name], p.name)
		addr := servers[p.network]
		if p.network == "unix" {
			addr = "unix:" + addr
		}
		fmt.Fprintf(&services, "  %s: {framing: framed-binary, mode: %s, endpoints: [%q]", p.name, p.mode, addr)
		if p.mode == "multiplexed" {
			fmt.Fprintf(&services, ", depth: %d", callers)
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

// measured is what is used of thriftperf's JSON.
type measured struct {
	Calls          int64
	CallsPerSecond float64                  `json:"calls_per_second"`
	LatencyUS      struct{ P50, P99 int64 } `json:"latency_us"`
	CPU            struct {
		US float64 `json:"us_per_call"`
	}
	Processes []struct {
		US    float64 `json:"us_per_call"`
		Cores float64
	}
}

// load runs thriftperf on a path.
func (r *rig) load(p path, duration time.Duration) (*measured, error) {
	cmd := exec.Command("bin/thriftperf", "load", "--json", "--target", p.target, "--connections", strconv.Itoa(callers),
		"--size", strconv.Itoa(size), "--warmup", warmup.String(), "--duration", duration.String(),
		"--cpu-of", fmt.Sprintf("%d,%d", p.pid, r.server.PID()))
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, err
	}
	var m measured
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, err
	}
	if len(m.Processes) != 2 || m.Calls == 0 {
		return nil, fmt.Errorf("thriftperf measured nothing: %s", out)
	}
	return &m, nil
}

func (r *rig) measure(p path, duration time.Duration) (result, error) {
	m, err := r.load(p, duration)
	if err != nil {
		return result{}, err
	}
	return result{
		Path: p.name, ProxyUS: m.Processes[0].US, ProxyCores: m.Processes[0].Cores, ServerUS: m.Processes[1].US,
		GeneratorUS: m.CPU.US, CallsPerSecond: m.CallsPerSecond, P50: m.LatencyUS.P50, P99: m.LatencyUS.P99,
	}, nil
}
