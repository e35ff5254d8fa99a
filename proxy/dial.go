package proxy

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// dial opens one more connection.
func (p *pool) dial() {
	w, e := p.w, p.endpoint
	u := &upstream{pool: p, endpoint: e, mode: p.cluster.Mode, codec: w.p.codecs[e.Wire.Framing]}
	u.w = w
	if e.Remote {
		u.hand = &handoffState{}
	}
	w.stats.dials++
	w.connect(p, u)
}

// dial connects in a goroutine of its own and enrols the connection with this worker's loop.
func (w *worker) dial(p *pool, u *upstream) {
	if w.stopping {
		return // the calls that wait end with their callers' connections
	}
	w.p.pending.Go(func() {
		conn, err := w.p.connect(u.endpoint)
		if err == nil {
			err = w.enrol(conn, u, &u.opened)
		}
		if err != nil {
			w.do(func() { p.dialFailed(err) })
		}
	})
}

// connect opens a socket to an endpoint with everything set that a loop can't set later. Host names are resolved anew
// each time. Safe for concurrent use.
func (p *Proxy) connect(e *cluster.Endpoint) (net.Conn, error) {
	t := &p.cfg.Timeouts
	ctx, cancel := context.WithTimeout(p.life, t.Connect)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: t.KeepAlive, Interval: t.KeepAlive / 3, Count: 3},
		Control:         userTimeout(t.UserTimeout),
	}
	conn, err := d.DialContext(ctx, e.Network, e.Addr)
	if err != nil || !e.Remote || p.cfg.HandOff.TLS == nil {
		return conn, err
	}
	return overTLSClient(ctx, conn, p.cfg.HandOff.TLS, p.life.Done())
}

// userTimeout sets TCP_USER_TIMEOUT: written bytes that are not acknowledged for d end the connection.
func userTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if d <= 0 || network == "unix" {
			return nil
		}
		var err error
		if ctlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		}); ctlErr != nil {
			return ctlErr
		}
		return err
	}
}
