package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is one of those that are compared. Its configuration is a function of the point and two addresses, so that the
// page can show the very text that was run.
type peer struct {
	name   string
	skip   func(point) string // why it has no part in a point; "" or nil: it has
	config func(p point, in, out, dir string) string
	file   string // of the configuration
	argv   func(file string, p point) []string
}

// The paths of what is not on everybody's PATH.
const envoyBinary = ".cache/bench/envoy/envoy/_bin/envoy"

// peers lists them in the order in which they are measured: what has no proxy comes first.
func peers() []peer {
	return []peer{
		{name: "direct"},
		{name: "haproxy", config: haproxyConfig, file: "haproxy.cfg", argv: func(file string, _ point) []string {
			return []string{program("haproxy"), "-db", "-f", file}
		}},
		{name: "nginx", config: nginxConfig, file: "nginx.conf", argv: func(file string, _ point) []string {
			return []string{program("nginx"), "-c", file, "-e", "stderr"}
		}},
		{name: "envoy", skip: skipEnvoy, config: envoyConfig, file: "envoy.yaml", argv: func(file string, p point) []string {
			return []string{envoyBinary, "-c", file, "--concurrency", fmt.Sprint(p.Workers), "--disable-hot-restart", "-l", "error"}
		}},
		{name: "bellhop-mux", config: bellhopServices("multiplexed"), file: "bellhop-mux.services.yaml"},
		{name: "bellhop-excl", config: bellhopServices("exclusive"), file: "bellhop-excl.services.yaml"},
	}
}

// program finds what Debian keeps in sbin.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}

// missing tells why a peer cannot be started here.
func (p *peer) missing() string {
	if p.argv == nil {
		return ""
	}
	if _, err := os.Stat(p.argv("", base)[0]); err != nil {
		return "could not be had on this machine"
	}
	return ""
}

// absent tells why a peer has no part in a point.
func (p *peer) absent(at point) string {
	if why := p.missing(); why != "" || p.skip == nil {
		return why
	}
	return p.skip(at)
}

func skipEnvoy(p point) string {
	switch {
	case p.Network != "tcp":
		return "measured over tcp only"
	case p.Framing != "framed-binary":
		return "measured with framed binary only"
	}
	return ""
}

func haproxyConfig(p point, in, out, _ string) string {
	at := ""
	if p.Network == "unix" {
		at = "unix@"
	}
	return fmt.Sprintf(`global
  nbthread %d
  maxconn 4000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen bench
  bind %s%s
  server s %s%s
`, p.Workers, at, in, at, out)
}

func nginxConfig(p point, in, out, dir string) string {
	at := ""
	if p.Network == "unix" {
		at = "unix:"
	}
	return fmt.Sprintf(`load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
worker_processes %d;
worker_rlimit_nofile 16384;
daemon off;
error_log stderr error;
pid %s/nginx.pid;
events { worker_connections 8192; }
stream {
  access_log off;
  server { listen %s%s; proxy_pass %s%s; }
}
`, p.Workers, dir, at, in, at, out)
}

func envoyConfig(_ point, in, out, _ string) string {
	place := func(addr string) string {
		host, port, _ := strings.Cut(addr, ":")
		return fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}", host, port)
	}
	return fmt.Sprintf(`static_resources:
  listeners:
  - name: thrift
    address: %s
    filter_chains:
    - filters:
      - name: envoy.filters.network.thrift_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy
          stat_prefix: thrift
          transport: FRAMED
          protocol: BINARY
          route_config: {routes: [{match: {method_name: ""}, route: {cluster: server}}]}
  clusters:
  - name: server
    type: STATIC
    connect_timeout: 2s
    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}
    load_assignment:
      cluster_name: server
      endpoints: [{lb_endpoints: [{endpoint: {address: %s}}]}]
`, place(in), place(out))
}

// bellhopConfig is the same for both modes. The address file is only written once a listener that it can name is there:
// that is what call.sock is for.
func bellhopConfig(p point, in string) string {
	return fmt.Sprintf(`workers: %d
log: {level: warn}
timeouts: {call: 10s}
listeners:
  - {name: bench, net: %s, addr: %q, service: bench}
  - {net: unix, addr: call.sock}
`, p.Workers, p.Network, in)
}

// bellhopServices lets one multiplexed connection carry as many calls as there are callers at the base point, and
// exclusive connections be as many as callers.
func bellhopServices(mode string) func(p point, in, out, dir string) string {
	return func(p point, _, out, _ string) string {
		if p.Network == "unix" {
			out = "unix:" + out
		}
		more := "depth: 64"
		if mode == "exclusive" {
			more = "max_connections: 4000"
		}
		return fmt.Sprintf("services:\n  bench: {framing: %s, mode: %s, endpoints: [%q], %s}\n", p.Framing, mode, out, more)
	}
}
