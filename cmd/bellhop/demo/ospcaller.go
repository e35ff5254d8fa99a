package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// ospCaller is what an OSP application does that has no client library of ours: it reads the address file and follows
// the caller's rule in its simplest form. Its calls are idempotent, so it sends a lost one again.
//
//	local ──refused, lost, not serving──► remote, and a probe of local in passing ──healthy for 1 s──► local
type ospCaller struct {
	watch *addrfile.Watcher
	peer  *osppeer.Client // nil: not connected
	at    via             // where peer goes
	away  bool
	// While away:
	probeAt time.Time
	healthy time.Time // since when probes succeed; zero: they don't
}

const (
	ospProbe = 200 * time.Millisecond
	ospHold  = time.Second
	ospDial  = 250 * time.Millisecond
	ospEcho  = 100 * time.Millisecond
)

// callOSP calls one after the other until ctx ends.
func callOSP(ctx context.Context, addressFile string, rec *record) error {
	args, err := toBytes(ctx, &text{1, "OSP"})
	if err != nil {
		return err
	}
	c := &ospCaller{watch: addrfile.Watch(addressFile, addrfile.WatchOptions{})}
	defer c.watch.Close()
	defer c.hangUp()
	every(ctx, ospPace, func(int) {
		start := time.Now()
		v, err := c.call(args, start)
		if end := time.Now(); err != nil {
			rec.lost(err)
		} else {
			rec.answered(v, end.Sub(start), end)
		}
	})
	return nil
}

// call makes one call, at most three times over, and tells which proxy answered.
func (c *ospCaller) call(args []byte, start time.Time) (via, error) {
	c.choose(start)
	order := [...]via{local, remote, local}
	if c.away {
		order = [...]via{remote, local, remote}
	}
	var failed error
	for _, to := range order {
		left := patience - time.Since(start)
		if left <= 0 {
			break
		}
		err := c.attempt(to, args, left)
		if err == nil {
			return to, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", to, err))
		var ret *osppeer.RetError
		if errors.As(err, &ret) && ret.Reply.Ext["bellhop-not-executed"] != "true" {
			break // the service's own answer
		}
		c.hangUp()
		if to == local && !c.away {
			c.leave(time.Now())
		}
	}
	return local, failed
}

// attempt calls over a connection to one proxy, a new one when there is none.
func (c *ospCaller) attempt(to via, args []byte, left time.Duration) error {
	if c.peer == nil || c.at != to {
		c.hangUp()
		conn, err := c.dial(to)
		if err != nil {
			return err
		}
		c.peer, c.at = osppeer.NewClient(conn, protocol.OSP, protocol.Binary), to
		c.peer.Caller, c.peer.Version = "demo", "1.0.0"
	}
	_, err := c.peer.Call(ordersService, placeMethod, args, left)
	return err
}

func (c *ospCaller) dial(to via) (net.Conn, error) {
	view := c.watch.View()
	if view.File == nil {
		return nil, fmt.Errorf("no address file: %w", view.Err)
	}
	list := view.File.Local
	if to == remote {
		list = view.File.Remote
	}
	err := errors.New("the address file lists no such proxy")
	for _, a := range list {
		network, address := a.Resolve(view.Dir)
		var conn net.Conn
		if conn, err = net.DialTimeout(network, address, ospDial); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// choose leaves the local proxy when the file says so, and goes back after ospHold of healthy probes.
func (c *ospCaller) choose(now time.Time) {
	view := c.watch.View()
	serving := view.File != nil && view.File.State == addrfile.Serving && !view.Stale
	switch {
	case !c.away && !serving:
		c.leave(now)
	case c.away && !serving:
		c.healthy = time.Time{}
	case c.away && now.After(c.probeAt):
		c.probeAt = now.Add(ospProbe)
		if !c.probe() {
			c.healthy = time.Time{}
			return
		}
		if c.healthy.IsZero() {
			c.healthy = now
		}
		c.away = now.Sub(c.healthy) < ospHold
	}
}

func (c *ospCaller) leave(now time.Time) {
	c.away, c.healthy, c.probeAt = true, time.Time{}, now.Add(ospProbe)
}

// probe exchanges a heartbeat with the local proxy over a connection of its own.
func (c *ospCaller) probe() bool {
	conn, err := c.dial(local)
	if err != nil {
		return false
	}
	_ = conn.SetDeadline(time.Now().Add(ospEcho)) // a fresh connection takes it
	p := osppeer.NewClient(conn, protocol.OSP, protocol.Binary)
	defer p.Close()
	return p.Heartbeat() == nil
}

func (c *ospCaller) hangUp() {
	if c.peer != nil {
		_ = c.peer.Close()
		c.peer = nil
	}
}
