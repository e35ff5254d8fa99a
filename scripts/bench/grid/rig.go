package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// runner is a peer that runs at one point.
type runner struct {
	peer
	target  string
	process *prove.Process
}

// rig is what runs at one point: a server and every peer that has a part in it, all until the point is done. Those whose
// turn it is not are idle.
type rig struct {
	dir     string
	server  *prove.Process
	runners []*runner
	out     map[string]string // why a peer is not here
}

// newRig starts everything. The caller stops it, also after an error.
func newRig(ctx context.Context, p point) (*rig, error) {
	r := &rig{out: map[string]string{}}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var err error
	if r.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return r, err
	}
	addr, err := r.startServer(p)
	if err != nil {
		return r, err
	}
	for _, peer := range peers() {
		if why := peer.absent(p); why != "" {
			r.out[peer.name] = why
			continue
		}
		x := &runner{peer: peer, target: p.Network + ":" + addr}
		r.runners = append(r.runners, x)
		if peer.config == nil {
			continue
		}
		in, err := r.place(p, peer.name)
		if err != nil {
			return r, err
		}
		x.target = p.Network + ":" + in
		if err := r.start(ctx, x, p, in, addr); err != nil {
			return r, fmt.Errorf("%s: %w", peer.name, err)
		}
	}
	return r, nil
}

func (r *rig) stop() {
	for _, x := range r.runners {
		x.process.Stop(200 * time.Millisecond) // nobody is calling: there is nothing to drain
	}
	r.server.Stop(time.Second)
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

func (r *rig) startServer(p point) (addr string, err error) {
	listen := "tcp:127.0.0.1:0"
	if p.Network == "unix" {
		listen = "unix:" + filepath.Join(r.dir, "server.sock")
	}
	r.server, err = prove.Start(r.dir, "server", "bin/thriftperf", "serve", "--framing", p.Framing, "--listen", listen)
	if err != nil {
		return "", err
	}
	line, err := r.server.Line()
	_, addr, _ = strings.Cut(strings.TrimPrefix(line, "listening "), ":")
	return addr, err
}

func (r *rig) place(p point, name string) (string, error) {
	if p.Network == "unix" {
		return filepath.Join(r.dir, name+".sock"), nil
	}
	return prove.FreePort()
}

func (r *rig) start(ctx context.Context, x *runner, p point, in, out string) error {
	text := x.config(p, in, out, r.dir)
	if x.argv == nil {
		b := &prove.Bellhop{Dir: filepath.Join(r.dir, x.name), Config: bellhopConfig(p, in), Services: text}
		err := b.Start(ctx)
		x.process = b.Process
		return err
	}
	file := filepath.Join(r.dir, x.file)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	process, err := prove.Start(r.dir, x.name, x.argv(file, p)...)
	if err != nil {
		return err
	}
	x.process = process
	return process.AwaitAddress(ctx, p.Network, in)
}

// pids are those of a proxy: nginx has a master and workers. None for a direct connection.
func (x *runner) pids() []int {
	if x.process == nil {
		return nil
	}
	pid := x.process.PID()
	all := []int{pid}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for word := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(word); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// peakRSS adds up the high-water marks of a proxy's processes, in bytes; one that has ended has none.
func (x *runner) peakRSS() (sum int64) {
	for _, pid := range x.pids() {
		if n, err := prove.PeakRSS(pid); err == nil {
			sum += n
		}
	}
	return sum
}
