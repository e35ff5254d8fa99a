// Command prove-memory measures what `bellhop local` takes when nothing happens and when large frames pass: at rest, with
// 10,000 callers that are connected and silent, with a registry of 20,000 endpoints, and with callers that exchange 64 MB
// frames. It must never ask the proxy to collect its garbage or to return memory: nobody does that in production.
//
//	start ─5 s─► RssAnon        10,000 × (connect, one call) ─5 s─► (VmRSS − VmRSS before) / 10,000
//	start with 2,000 services ─5 s─► RssAnon ─20 s─► CPU
//	8 callers × 64 MB calls and replies, the callers slow, then the servers ─► VmHWM
//
// Each caller makes one call before it falls silent, because a connection that never says anything is closed by
// timeouts.detect. The targets are those of scripts/bench/targets.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

const (
	callers = 10_000
	settle  = 5 * time.Second
	idleMax = 15 << 20 // bytes
)

// proof collects figures: for the printed table, and those that have a target in the catalogue for the page.
type proof struct {
	table  *prove.Table
	values map[string][]float64
}

// judge adds a figure that the catalogue has a target for.
func (p *proof) judge(key string, value float64) error {
	v, err := targets.Judge(key, []float64{value})
	if err != nil {
		return err
	}
	p.values[key] = v.Values
	p.table.Add(v.Figure, v.Aim(), v.Measured(), v.Met)
	return nil
}

func main() {
	page := flag.String("page", "", "folder of the page whose table of targets gets the values, such as docs/bench; empty: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begun := time.Now()
	p := &proof{table: prove.NewTable("prove-memory"), values: map[string][]float64{}}
	err := run(ctx, p)
	if err == nil && *page != "" {
		err = targets.Save(*page, "memory", targets.File{
			Begun: begun.UTC().Truncate(time.Second), Machine: prove.Machine(), Bellhop: prove.Version(ctx, "bin/bellhop"), Values: p.values,
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove-memory:", err)
		p.table.Add("the proof ran to its end", "yes", "no", false)
	}
	os.Exit(p.table.Finish(os.Stdout))
}

func run(ctx context.Context, p *proof) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "prove-memory-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, part := range []struct {
		name string
		run  func(context.Context, *proof, string) error
	}{{"callers", idleCallers}, {"registry", largeRegistry}, {"frames", largeFrames}} {
		if err := part.run(ctx, p, dir); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// idleCallers measures a proxy at rest and with callers that are silent, over both kinds of socket.
func idleCallers(ctx context.Context, p *proof, dir string) error {
	socket := filepath.Join(dir, "server.sock")
	server, err := prove.Start(dir, "server", "bin/thriftperf", "serve", "--listen", "unix:"+socket, "--framing", "framed-binary")
	if err != nil {
		return err
	}
	defer server.Stop(time.Second)
	if err := server.AwaitAddress(ctx, "unix", socket); err != nil {
		return err
	}
	calls := filepath.Join(dir, "calls.sock")
	port, err := prove.FreePort()
	if err != nil {
		return err
	}
	for _, l := range []struct{ network, addr string }{{"unix", calls}, {"tcp", port}} {
		if err := measure(ctx, p, dir, socket, l.network, l.addr); err != nil {
			return fmt.Errorf("%s: %w", l.network, err)
		}
	}
	return nil
}

// measure starts a proxy with a listener on that network, and measures it at rest and with callers.
func measure(ctx context.Context, p *proof, dir, server, network, addr string) error {
	b := &prove.Bellhop{
		Dir:      filepath.Join(dir, network),
		Config:   fmt.Sprintf("listeners:\n  - {net: unix, addr: call.sock}\n  - {net: %s, addr: %q, service: Echo}\n", network, addr),
		Services: fmt.Sprintf("services:\n  Echo: {framing: framed-binary, endpoints: [\"unix:%s\"]}\n", server),
	}
	defer func() { b.Process.Stop(100 * time.Millisecond) }()
	if err := b.Start(ctx); err != nil {
		return err
	}
	before, err := afterSettling(ctx, b)
	if err != nil {
		return err
	}
	p.table.Add("RssAnon at rest, "+network, "≤ 15 MiB", fmt.Sprintf("%.1f MiB", mib(before.Anon)), before.Anon <= idleMax)
	p.table.Note("VmRSS at rest, "+network, fmt.Sprintf("%.1f MiB", mib(before.RSS)))
	conns, err := connect(ctx, network, addr, callers)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return err
	}
	after, err := afterSettling(ctx, b)
	if err != nil {
		return err
	}
	if err := answersAll(conns); err != nil { // else fewer connections were measured than were made
		return err
	}
	return p.judge("conn-"+network, float64(after.RSS-before.RSS)/callers)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func afterSettling(ctx context.Context, b *prove.Bellhop) (prove.Memory, error) {
	select {
	case <-ctx.Done():
		return prove.Memory{}, ctx.Err()
	case <-time.After(settle):
	}
	return prove.ReadMemory(b.Process.PID())
}

// connect makes n connections, each with one call behind it.
func connect(ctx context.Context, network, addr string, n int) (conns []net.Conn, err error) {
	var d net.Dialer
	for i := range n {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return conns, fmt.Errorf("connection %d: %w", i+1, err)
		}
		conns = append(conns, c)
		if err := call(c, uint32(i+1)); err != nil {
			return conns, fmt.Errorf("call on connection %d: %w", i+1, err)
		}
	}
	return conns, nil
}

// answersAll makes one more call on the connections, which shows that the proxy still holds them.
func answersAll(conns []net.Conn) error {
	for i, c := range conns {
		if err := call(c, uint32(i+1)); err != nil {
			return fmt.Errorf("connection %d was not held: %w", i+1, err)
		}
	}
	return nil
}

// call makes a framed binary call of echo("hello") and reads its reply. The reply's field id is 0, so it is as long as
// the call.
//
//	len(4) 80 01 00 type(1) 00 00 00 04 "echo" seq(4) 0B 00 01 00 00 00 05 "hello" 00
func call(c net.Conn, seq uint32) error {
	b := []byte("\x00\x00\x00\x1d\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x05hello\x00")
	binary.BigEndian.PutUint32(b[16:], seq)
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	r := make([]byte, len(b))
	if _, err := io.ReadFull(c, r); err != nil {
		return err
	}
	if r[7] != 2 || binary.BigEndian.Uint32(r[16:]) != seq {
		return errors.New("the reply is not the call's echo: " + string(r))
	}
	return nil
}
