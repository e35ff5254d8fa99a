package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// step is a size of a node. Endpoints are in all; each is an address of its own.
type step struct {
	label                                     string
	services, endpoints, connections, sources int
}

type axis struct {
	name, title string
	steps       []step
}

const (
	callers   = 64
	settle    = 3 * time.Second
	perHolder = 9000   // connections of one holding process: it has a limit of descriptors too
	firstUID  = 100000 // users that the sources are
)

// axes differ in one thing each. Services have one endpoint in `services`, so that the connections to endpoints stay as
// many; `node` is the judged pair.
func axes() []axis {
	list := []axis{
		{name: "services", title: "Services, one endpoint each"},
		{name: "endpoints", title: "Endpoints, of 100 services"},
		{name: "connections", title: "Idle connections of callers"},
		{name: "sources", title: "Sources (users on a unix socket), one idle connection each"},
		{name: "node", title: "A small and a large node", steps: []step{
			{"small", 10, 100, 100, 1}, {"large", 2000, 20000, 10000, 1},
		}},
	}
	for _, n := range []int{10, 100, 500, 2000} {
		list[0].steps = append(list[0].steps, step{strconv.Itoa(n), n, n, 0, 1})
	}
	for _, n := range []int{100, 1000, 5000, 20000} {
		list[1].steps = append(list[1].steps, step{strconv.Itoa(n), 100, n, 0, 1})
	}
	// 18,000: 20,000 descriptors are what a process gets here; the calls and their endpoints need some.
	for _, n := range []int{100, 1000, 5000, 10000, 18000} {
		list[2].steps = append(list[2].steps, step{strconv.Itoa(n), 10, 100, n, 1})
	}
	for _, n := range []int{1, 10, 100, 1000} {
		list[3].steps = append(list[3].steps, step{strconv.Itoa(n), 10, 100, n, n})
	}
	return list
}

// registry is the table of a step. generation makes every address another one.
func (s step) registry(port string, generation int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	each, n := s.endpoints/s.services, 0
	for i := range s.services {
		fmt.Fprintf(&b, "  s%d:\n    framing: framed-binary\n    endpoints: [", i)
		for j := range each {
			if j > 0 {
				b.WriteString(", ")
			}
			n++
			fmt.Fprintf(&b, "\"127.%d.%d.%d:%s\"", 10+generation%100, n/250, 1+n%250, port)
		}
		b.WriteString("]\n")
	}
	return b.String()
}

// node is a bellhop of a step with what is connected to it.
type node struct {
	step
	target  string
	bellhop *prove.Bellhop
	holders []*prove.Process
}

func (n *node) stop() {
	for _, h := range n.holders {
		h.Stop(2 * time.Second)
	}
	n.bellhop.Process.Stop(200 * time.Millisecond)
}

// startServer answers for all of 127.0.0.0/8 at one port.
func startServer(dir string) (*prove.Process, string, error) {
	p, err := prove.Start(dir, "server", "bin/thriftperf", "serve", "--framing", "framed-binary", "--listen", "loopback:0")
	if err != nil {
		return nil, "", err
	}
	line, err := p.Line()
	return p, line[strings.LastIndexByte(line, ':')+1:], err
}

// startNode starts a bellhop and its idle callers. The caller stops it, also after an error.
func startNode(ctx context.Context, dir string, s step, port string) (*node, error) {
	n := &node{step: s}
	listener := ""
	if s.sources > 1 || s.connections == s.sources {
		path := filepath.Join(dir, s.label+".sock") // not in its own folder: other users must get to it
		n.target = "unix:" + path
		listener = fmt.Sprintf("{name: bench, net: unix, addr: %q}", path)
	} else {
		addr, err := prove.FreePort()
		if err != nil {
			return n, err
		}
		n.target = "tcp:" + addr
		listener = fmt.Sprintf("{name: bench, net: tcp, addr: %q}", addr)
	}
	n.bellhop = &prove.Bellhop{
		Dir: filepath.Join(dir, s.label),
		Config: "workers: 1\nlog: {level: warn}\ntimeouts: {call: 10s, idle: 1h, upstream_idle: 10m}\n" +
			"limits: {source_connections: 20000, total_connections: 20000}\nlisteners:\n  - " + listener + "\n  - {net: unix, addr: call.sock}\n",
		Services: s.registry(port, 0),
	}
	if err := n.bellhop.Start(ctx); err != nil {
		return n, err
	}
	return n, n.fill(ctx, dir)
}

// fill makes the idle connections, and checks that the proxy has them, from so many sources.
func (n *node) fill(ctx context.Context, dir string) error {
	for left, i := n.connections, 0; left > 0; i++ {
		count := min(left, perHolder)
		left -= count
		args := []string{"hold", "--target", n.target, "--connections", strconv.Itoa(count), "--service", "s", "--services", strconv.Itoa(min(n.services, 10))}
		h, err := prove.Start(dir, fmt.Sprintf("hold-%s-%d", n.label, i), append([]string{"bin/thriftperf"}, append(args, n.users()...)...)...)
		if err != nil {
			return err
		}
		n.holders = append(n.holders, h)
		if _, err := h.Line(); err != nil {
			return err
		}
	}
	m, err := prove.Scrape(ctx, n.bellhop.Admin)
	if err != nil {
		return err
	}
	sources := 0
	for name := range m {
		if strings.HasPrefix(name, `bellhop_source_connections{source="uid:`) {
			sources++
		}
	}
	if got := int(m["bellhop_caller_connections"]); got < n.connections || n.sources > 1 && sources < n.sources {
		return fmt.Errorf("%s: the proxy has %d connections of %d users, not %d of %d", n.label, got, sources, n.connections, n.sources)
	}
	return nil
}

func (n *node) users() []string {
	if !strings.HasPrefix(n.target, "unix:") {
		return nil
	}
	return []string{"--uids", fmt.Sprintf("%d-%d", firstUID, firstUID+n.sources-1)}
}

// sample is one measurement of a step.
type sample struct {
	Axis    string  `json:"axis"`
	Step    string  `json:"step"`
	Round   int     `json:"round"`
	ProxyUS float64 `json:"proxy_cpu_us_per_call"`
	Rate    float64 `json:"calls_per_second"`
	P99     int64   `json:"p99_us"`
}

func (n *node) measure(ctx context.Context, duration time.Duration) (sample, error) {
	args := []string{
		"--target", n.target, "--connections", strconv.Itoa(callers), "--service", "s", "--services", strconv.Itoa(n.services),
		"--warmup", "300ms", "--duration", duration.String(), "--timeout", "5s", "--cpu-of", strconv.Itoa(n.bellhop.Process.PID()),
	}
	m, err := prove.Load(ctx, duration+20*time.Second, append(args, n.users()...)...)
	if err != nil {
		return sample{}, err
	}
	return sample{Step: n.label, ProxyUS: m.Processes[0].US, Rate: m.CallsPerSecond, P99: m.Latency.P99}, nil
}

// measureAxis has all steps up and measures them in turn.
func measureAxis(ctx context.Context, a axis, o options) (all []sample, err error) {
	dir, err := os.MkdirTemp("", "growth-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	server, port, err := startServer(dir)
	defer func() { server.Stop(time.Second) }()
	if err != nil {
		return nil, err
	}
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			n.stop()
		}
	}()
	for _, s := range a.steps {
		starting, cancel := context.WithTimeout(ctx, time.Minute)
		n, err := startNode(starting, dir, s, port)
		cancel()
		if n.bellhop != nil {
			nodes = append(nodes, n)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.label, err)
		}
	}
	for _, n := range nodes { // connections to thousands of endpoints are made before anything is measured
		if _, err := n.measure(ctx, settle); err != nil {
			return nil, fmt.Errorf("%s: %w", n.label, err)
		}
	}
	for round := range o.rounds {
		for _, n := range nodes {
			s, err := n.measure(ctx, o.duration)
			if err != nil {
				return all, fmt.Errorf("%s: %w", n.label, err)
			}
			s.Axis, s.Round = a.name, round+1
			all = append(all, s)
		}
	}
	return all, nil
}
