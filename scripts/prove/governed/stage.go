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
	n      int // of names
}

// part is a process whose CPU time is told.
type part struct {
	name    string
	process *prove.Process
	quota   *quota
}

// Proxy is a bellhop of a stage.
type Proxy struct {
	*prove.Bellhop
	stage *Stage
}

// Start runs a bellhop on the proxies' core, with a quota of CPU time if share is not 0.
func (s *Stage) Start(ctx context.Context, name string, b *prove.Bellhop, share float64) (*Proxy, error) {
	s.n++
	b.Dir = filepath.Join(s.Dir, fmt.Sprintf("%s-%d", name, s.n))
	b.Core = fmt.Sprint(ProxyCore)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := b.Start(ctx)
	p := &Proxy{Bellhop: b, stage: s}
	if b.Process == nil {
		return p, err
	}
	one := part{name: name, process: b.Process}
	if share > 0 && err == nil {
		one.quota, err = newQuota("bellhop-"+filepath.Base(s.Dir)+"-"+filepath.Base(b.Dir), share)
		s.quotas = append(s.quotas, one.quota)
		if err == nil {
			err = one.quota.put(b.Process.PID())
		}
	}
	s.parts = append(s.parts, one)
	return p, err
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
	p, err = prove.Start(s.Dir, "haproxy", pinned(ProxyCore, "/usr/sbin/haproxy", "-db", "-f", file)...)
	if err != nil {
		return "", nil, err
	}
	one := part{name: "haproxy", process: p}
	if share > 0 {
		if one.quota, err = newQuota(fmt.Sprintf("bellhop-%s-haproxy-%d", filepath.Base(s.Dir), s.n), share); err == nil {
			err = one.quota.put(p.PID())
		}
		s.quotas = append(s.quotas, one.quota)
	}
	s.parts = append(s.parts, one)
	if err != nil {
		return "", p, err
	}
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
		_, err = fmt.Sscanf(line, "calls %d failed %d", &calls, &failed)
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
		if q != nil {
			q.remove()
		}
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
