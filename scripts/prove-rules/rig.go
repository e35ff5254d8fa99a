package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const framing = "framed-binary"

// endpoint is a server as the registry has it. A server of nil is an address that nobody listens at.
type endpoint struct {
	addr    string
	version string
	server  *governed.Server
}

// serve starts a server of a version.
func serve(s *governed.Stage, version, framing string, args ...string) (endpoint, error) {
	v, err := s.Serve(append([]string{"--framing", framing}, args...)...)
	if err != nil {
		return endpoint{}, err
	}
	return endpoint{v.Addr, version, v}, nil
}

// proxy starts a bellhop with these endpoints of the service bench.
func proxy(ctx context.Context, s *governed.Stage, framing, rules string, list []endpoint) (*prove.Bellhop, error) {
	return proxyOf(ctx, s, "", framing, rules, list)
}

// proxyOf is proxy with another binary; "": the one under proof.
func proxyOf(ctx context.Context, s *governed.Stage, binary, framing, rules string, list []endpoint) (*prove.Bellhop, error) {
	var text []string
	for _, e := range list {
		text = append(text, fmt.Sprintf("{addr: %q, version: %q}", e.addr, e.version))
	}
	return s.Start(ctx, "bellhop", &prove.Bellhop{
		Config:   "workers: 1\nlisteners:\n  - {net: unix, addr: call.sock}\n",
		Services: fmt.Sprintf("services:\n  bench: {framing: %s, max_connections: 1000, endpoints: [%s]}\n", framing, strings.Join(text, ", ")),
		Rules:    rules, Binary: binary,
	}, 0)
}

// socket is where callers of any service come in.
func socket(b *prove.Bellhop) string {
	return "unix:" + filepath.Join(filepath.Dir(b.AddressFile()), "call.sock")
}

// caller is a source that calls bench.
func caller(b *prove.Bellhop, unit string, rate float64, more ...string) governed.Source {
	args := []string{"--target", socket(b), "--service", "bench", "--connections", "16", "--depth", "8", "--framing", framing}
	return governed.Source{Unit: unit, Rate: rate, Args: append(args, more...)}
}

// counts asks every server how many calls it has had.
func counts(list []endpoint) ([]float64, error) {
	v := make([]float64, len(list))
	for i, e := range list {
		if e.server == nil {
			continue
		}
		n, _, err := e.server.Counts()
		if err != nil {
			return nil, err
		}
		v[i] = float64(n)
	}
	return v, nil
}

// failed counts the failed calls of sources, but for declared exceptions: those are replies.
func failed(list []governed.Result) (n float64) {
	for _, x := range list {
		n += float64(x.NotStarted)
		for kind, k := range x.Failed {
			if kind != "declared" {
				n += float64(k)
			}
		}
	}
	return n
}

// ejections is how often endpoints were ejected, by the proxy's word, and for what.
func ejections(ctx context.Context, b *prove.Bellhop) (n float64, why string, err error) {
	m, err := prove.Scrape(ctx, b.Admin)
	var reasons []string
	for name, v := range m {
		if labels, ok := strings.CutPrefix(name, "bellhop_ejections_total{"); ok && v > 0 {
			n += v
			reasons = append(reasons, fmt.Sprintf("%.0f %s", v, strings.TrimSuffix(labels, "}")))
		}
	}
	slices.Sort(reasons)
	return n, strings.Join(reasons, ", "), err
}

const warmup = 500 * time.Millisecond
