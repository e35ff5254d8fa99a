package governed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// Stage is where a row plays: an empty folder, and processes that end with it.
type Stage struct {
	Options
	Row   string
	Table *prove.Table
	Dir   string

	parts  []part
	quotas []*quota
	units  map[string]bool
	seed   uint64
	raw    *[]*Run
	before func(ctx context.Context) // waits for a good moment for a run; nil: any is
	n      int                       // of names
}

// part is a process whose CPU time is told.
type part struct {
	name    string
	process *prove.Process
	quota   *quota
}

// Start runs a bellhop on the proxies' core, with a quota of CPU time if share is not 0.
func (s *Stage) Start(ctx context.Context, name string, b *prove.Bellhop, share float64) (*prove.Bellhop, error) {
	s.n++
	b.Dir = filepath.Join(s.Dir, fmt.Sprintf("%s-%d", name, s.n))
	q, err := s.quota(filepath.Base(b.Dir), share)
	if err != nil {
		return b, err
	}
	b.Prefix = q.prefix(ProxyCore)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = b.Start(ctx)
	if b.Process != nil {
		s.parts = append(s.parts, part{name: name, process: b.Process, quota: q})
	}
	if err == nil && b.Rules != "" { // a proxy that refuses its rules serves without any
		var m prove.Metrics
		if m, err = prove.Scrape(ctx, b.Admin); err == nil && (m["bellhop_rules_wrong"] != 0 || m["bellhop_rules_applied_total"] == 0) {
			err = fmt.Errorf("%s did not take its rules; see %s", name, b.Dir)
		}
	}
	return b, err
}

// quota makes one; none for a share of 0.
func (s *Stage) quota(name string, share float64) (*quota, error) {
	if share == 0 {
		return nil, nil
	}
	q, err := newQuota("bellhop-"+filepath.Base(s.Dir)+"-"+name, share)
	s.quotas = append(s.quotas, q)
	return q, err
}

// HAProxy runs a TCP-mode HAProxy on the proxies' core with the same quota, from a unix socket to a server.
func (s *Stage) HAProxy(ctx context.Context, server string, share float64) (socket string, p *prove.Process, err error) {
	s.n++
	socket = filepath.Join(s.Dir, fmt.Sprintf("haproxy-%d.sock", s.n))
	file := filepath.Join(s.Dir, fmt.Sprintf("haproxy-%d.cfg", s.n))
	config := fmt.Sprintf(`global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen proof
  bind unix@%s
  server s %s
`, socket, server)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", nil, err
	}
	q, err := s.quota(fmt.Sprintf("haproxy-%d", s.n), share)
	if err != nil {
		return "", nil, err
	}
	p, err = prove.Start(s.Dir, "haproxy", append(q.prefix(ProxyCore), "/usr/sbin/haproxy", "-db", "-f", file)...)
	if err != nil {
		return "", nil, err
	}
	s.parts = append(s.parts, part{name: "haproxy", process: p, quota: q})
	return socket, p, p.AwaitAddress(ctx, "unix", socket)
}

// Server is a thriftperf serve.
type Server struct {
	Addr    string // host:port
	process *prove.Process
}

// Serve starts a server on the other core.
func (s *Stage) Serve(args ...string) (*Server, error) {
	s.n++
	argv := pinned(OtherCore, append([]string{"bin/thriftperf", "serve", "--listen", "tcp:127.0.0.1:0"}, args...)...)
	p, err := prove.Start(s.Dir, fmt.Sprintf("server-%d", s.n), argv...)
	if err != nil {
		return nil, err
	}
	s.parts = append(s.parts, part{name: "servers", process: p})
	line, err := p.Line()
	if err != nil {
		return nil, err
	}
	_, err = p.Line() // ready
	return &Server{Addr: strings.TrimPrefix(line, "listening tcp:"), process: p}, err
}

// Counts are the calls that the server has had and those that it failed: its own word, not the proxy's.
func (v *Server) Counts() (calls, failed int64, err error) {
	if err = syscall.Kill(v.process.PID(), syscall.SIGUSR1); err != nil {
		return 0, 0, err
	}
	line, err := v.process.Line()
	if err == nil {
		_, err = fmt.Sscanf(line, "calls %d failed %d others", &calls, &failed)
	}
	return calls, failed, err
}

// Stop ends a part before the stage does; what it used is not told any more.
func (s *Stage) Stop(p *prove.Process) {
	p.Kill() // nobody is calling: there is nothing to drain
	for i := range s.parts {
		if s.parts[i].process == p {
			s.parts = append(s.parts[:i], s.parts[i+1:]...)
			return
		}
	}
}

// Reset ends all parts.
func (s *Stage) Reset() {
	for _, p := range s.parts {
		p.process.Kill() // nobody is calling: there is nothing to drain
	}
	for _, q := range s.quotas {
		q.remove()
	}
	var units []string
	for u := range s.units {
		units = append(units, u)
	}
	dropUnits(units)
	s.parts, s.quotas, s.units = nil, nil, map[string]bool{}
}

// Keep writes a run down for the raw results.
func (s *Stage) Keep(r *Run, side string, pair int) {
	r.Row, r.Side, r.Pair = s.Row, side, pair
	*s.raw = append(*s.raw, r)
}
