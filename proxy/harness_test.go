package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol/osp"
	codecs "github.com/bellhop-mesh/bellhop/protocol/thrift"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
)

// rig is one worker without a loop, a clock or sockets: a test plays all three.
type rig struct {
	t      testing.TB
	p      *Proxy
	w      *worker
	now    int64
	woken  bool
	dials  []*upstream // connects under way
	conns  map[*fakeConn]bool
	closed []*fakeConn
	parked map[*session]*fakeConn
	coming []*session // parked ones that are on their way back
	fd     int        // an open socket with nothing to read: what a look at an idle connection finds
}

func newRig(t testing.TB, change func(*Config), snap *registry.Snapshot) *rig {
	r := &rig{t: t, conns: map[*fakeConn]bool{}, parked: map[*session]*fakeConn{}}
	cfg := Config{
		Workers: 1, Codecs: append(codecs.Codecs(), osp.Codecs()...), Limits: DefaultLimits(), Timeouts: DefaultTimeouts(),
		Identify: func(net.Conn) (Identity, error) { return Identity{Source: "test"}, nil },
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.p, r.w = p, p.workers[0]
	p.clock = func() int64 { return r.now }
	r.w.signal = func() { r.woken = true }
	r.w.connect = func(_ *pool, u *upstream) { r.dials = append(r.dials, u) }
	r.w.readmit = func(s *session, fd int) {
		_ = unix.Close(fd)
		r.coming = append(r.coming, s)
	}
	r.w.send = func(int, []byte) (int, unix.Errno) { return 0, unix.EAGAIN } // all goes by fakeConn.Write
	r.w.alarm = time.AfterFunc(time.Hour, func() {})
	r.w.loop = fakeLoop{r: r}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.fd = fds[0]
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	r.now = int64(time.Second)
	r.w.wheel.at = r.now
	r.setTable(snap)
	t.Cleanup(func() { r.w.alarm.Stop() })
	return r
}

func (r *rig) setTable(snap *registry.Snapshot) {
	table, err := route.Compile(snap, r.p.Table(), route.Options{
		Workers: 1, Locality: cluster.Locality{Zone: "here"}, Defaults: cluster.Defaults{Timeout: time.Second, MaxConns: 4, MaxPending: 16, Depth: 8},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.p.table.Store(table)
}

// caller opens a caller's connection.
func (r *rig) caller(l *listener, id Identity) *fakeConn {
	src := r.p.sources.join(id, r.p.cfg.Limits.SourceConns)
	if src == nil {
		r.t.Fatal("the source has too many connections")
	}
	r.p.conns.Add(1)
	d := &downstream{l: l, src: src}
	d.w = r.w
	c := &fakeConn{r: r, ctx: d}
	r.conns[c] = true
	r.w.OnOpen(c)
	r.settle()
	return c
}

// connected ends a connect: err nil opens it.
func (r *rig) connected(u *upstream, err error) *fakeConn {
	for i, d := range r.dials {
		if d == u {
			r.dials = append(r.dials[:i:i], r.dials[i+1:]...)
		}
	}
	if err != nil {
		r.w.do(func() { u.pool.dialFailed(err) })
		r.settle()
		return nil
	}
	c := &fakeConn{r: r, ctx: u}
	r.conns[c] = true
	r.w.OnOpen(c)
	r.settle()
	return c
}

// settle plays the poll rounds that the worker has asked for.
func (r *rig) settle() {
	for r.woken || len(r.coming) > 0 {
		if r.woken {
			r.woken = false
			r.w.begin()
			r.w.round()
			r.w.end()
			continue
		}
		s := r.coming[0]
		r.coming = r.coming[1:]
		r.readmitted(s)
	}
	for s, c := range r.parked { // those that were given up while they were parked
		if !s.live() {
			delete(r.parked, s)
			c.end()
		}
	}
}

// readmitted brings a parked connection back, with what the peer did meanwhile.
func (r *rig) readmitted(s *session) {
	c := r.parked[s]
	delete(r.parked, s)
	c.ctx = &returning{session: s}
	r.w.OnOpen(c)
	for c.ctx != nil && !c.gone && len(c.queue) > 0 {
		c.in, c.queue = c.queue[0], c.queue[1:]
		r.w.OnTraffic(c)
	}
	if c.dropped && c.ctx != nil && !c.gone {
		c.close(io.EOF)
	}
}

// pass lets time go by, firing what becomes due on the way.
func (r *rig) pass(d time.Duration) {
	end := r.now + int64(d)
	for {
		n := r.w.wheel.next()
		if n > end {
			break
		}
		r.now = max(n, r.now)
		r.woken = true
		r.settle()
	}
	r.now = end
	r.woken = true
	r.settle()
}

// fakeConn is a gnet.Conn whose bytes a test brings and takes. Methods the data plane must not use are nil and panic.
type fakeConn struct {
	gnet.Conn
	r       *rig
	ctx     any
	in      []byte
	out     []byte
	backlog int  // what the "kernel" has not taken
	stuck   bool // takes nothing
	gone    bool
	queue   [][]byte // what came while it was parked
	dropped bool     // the peer closed it meanwhile
}

func (c *fakeConn) Context() any { return c.ctx }
func (c *fakeConn) SetContext(ctx any) {
	if ctx == nil {
		c.r.parked[sessionOf(c.ctx)] = c
	}
	c.ctx = ctx
}
func (c *fakeConn) RemoteAddr() net.Addr      { return &net.UnixAddr{Name: "fake", Net: "unix"} }
func (c *fakeConn) OutboundBuffered() int     { return c.backlog }
func (c *fakeConn) EventLoop() gnet.EventLoop { return c.r.w.loop }
func (c *fakeConn) Fd() int                   { return c.r.fd }
func (c *fakeConn) Next(int) ([]byte, error)  { b := c.in; c.in = nil; return b, nil }

func (c *fakeConn) Write(b []byte) (int, error) {
	if c.gone {
		c.r.t.Error("a write on a closed connection: it would reach whoever has the descriptor now")
		return 0, net.ErrClosed
	}
	if c.stuck {
		c.backlog += len(b)
	}
	c.out = append(c.out, b...)
	return len(b), nil
}

// bring hands bytes to the data plane as one read.
func (c *fakeConn) bring(b []byte) {
	if c.gone {
		c.r.t.Fatal("bytes on a closed connection")
	}
	c.arrive(b)
	c.r.settle()
}

// arrive has the loop read bytes, when it reads from this connection.
func (c *fakeConn) arrive(b []byte) {
	if c.ctx == nil {
		c.queue = append(c.queue, bytes.Clone(b))
		return
	}
	c.in = b
	c.r.w.OnTraffic(c)
}

// drop is the peer's close: like gnet, it calls OnClose and nothing after it.
func (c *fakeConn) drop() {
	if c.dropped = true; c.ctx != nil {
		c.close(io.EOF)
	}
	c.r.settle()
}

func (c *fakeConn) close(err error) {
	if c.gone {
		c.r.t.Error("closed twice")
		return
	}
	c.end()
	c.r.w.OnClose(c, err)
}

func (c *fakeConn) end() {
	c.gone = true
	delete(c.r.conns, c)
	c.r.closed = append(c.r.closed, c)
}

func sessionOf(ctx any) *session {
	switch o := ctx.(type) {
	case *downstream:
		return &o.session
	case *upstream:
		return &o.session
	}
	return nil
}

// taken returns and forgets what was written.
func (c *fakeConn) taken() []byte {
	b := c.out
	c.out = nil
	return b
}

type fakeLoop struct {
	gnet.EventLoop
	r *rig
}

func (l fakeLoop) Close(c gnet.Conn) error {
	if f := c.(*fakeConn); f.ctx == nil { // parked
		l.r.w.OnClose(c, nil)
	} else {
		f.close(nil)
	}
	return nil
}

var errRefused = errors.New("connection refused")
