package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	idleTime   = time.Minute // an idle connection is not kept for longer
	pruneEvery = 20 * time.Second
	keepBuffer = 64 << 10 // a larger read buffer does not stay with its connection
)

// conn is one connection with at most one call in flight. It belongs to who acquired it.
type conn struct {
	net.Conn
	target
	epoch uint64 // of the pool, when it was made
	idle  time.Time
	told  bool   // the other side was told why we come, or need not be
	base  []byte // what buf is a part of
	buf   []byte // read and not yet consumed
}

func (cn *conn) close() { _ = cn.Close() }

// alive tells an idle connection from one that the proxy closed, or wrote to without being asked.
func (cn *conn) alive() bool {
	sc, ok := cn.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	// Control, not Read: the deadline of the last call has nothing to say here.
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}

// pool keeps idle connections, the last used first. Safe for concurrent use.
type pool struct {
	maxIdle int

	mu     sync.Mutex
	idle   map[endpoint][]*conn
	epoch  uint64 // grows when local connections are dropped
	closed bool
}

func newPool(maxIdle int) *pool { return &pool{maxIdle: maxIdle, idle: map[endpoint][]*conn{}} }

// get takes an idle connection that still stands, nil when there is none.
func (p *pool) get(e endpoint) *conn {
	for {
		p.mu.Lock()
		list := p.idle[e]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil
		}
		cn := list[len(list)-1]
		list[len(list)-1] = nil
		p.idle[e] = list[:len(list)-1]
		p.mu.Unlock()
		if cn.alive() {
			return cn
		}
		cn.close()
	}
}

// put gives a connection back after its call, or closes it when it is not wanted any more.
func (p *pool) put(cn *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := cn.tier == tierLocal && cn.epoch != p.epoch
	if p.closed || old || len(cn.buf) > 0 || len(p.idle[cn.endpoint]) >= p.maxIdle {
		cn.close()
		return
	}
	cn.idle = time.Now()
	p.idle[cn.endpoint] = append(p.idle[cn.endpoint], cn)
}

func (p *pool) now() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// dropLocal closes idle local connections; those in use are closed by put, after their current call.
func (p *pool) dropLocal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	p.closeIdle(func(cn *conn) bool { return cn.tier == tierLocal })
}

func (p *pool) prune() {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := time.Now().Add(-idleTime)
	p.closeIdle(func(cn *conn) bool { return cn.idle.Before(limit) })
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeIdle(func(*conn) bool { return true })
}

func (p *pool) closeIdle(which func(*conn) bool) {
	for e, list := range p.idle {
		kept := list[:0]
		for _, cn := range list {
			if which(cn) {
				cn.close()
			} else {
				kept = append(kept, cn)
			}
		}
		clear(list[len(kept):])
		if len(kept) == 0 {
			delete(p.idle, e)
		} else {
			p.idle[e] = kept
		}
	}
}

// dial opens a connection to a target, and asks for an echo first where the target says so.
func (c *Client) dial(ctx context.Context, t target) (*conn, error) {
	limit := c.rule.dialRemote
	if t.tier == tierLocal {
		limit = c.rule.dialLocal
	}
	// A proxy that is silent must not use up a call's time: half of what is left goes to each.
	if at, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(at)/2, time.Millisecond))
	}
	epoch := c.pool.now()
	d := net.Dialer{Timeout: limit}
	nc, err := d.DialContext(ctx, t.network, t.address)
	if err != nil {
		return nil, err
	}
	if t.check {
		if err := heartbeat(nc, c.rule.heartbeat); err != nil {
			nc.Close()
			return nil, err
		}
		c.stats.heartbeats.Add(1)
	}
	switch {
	case t.tier == tierRemote:
		c.rule.remoteTook(t.endpoint)
	case t.check && !t.again:
		c.rule.localEchoed()
	}
	return &conn{Conn: nc, target: t, epoch: epoch}, nil
}

// heartbeat writes the empty frame and waits for it to come back: four zero bytes each way. A listener that somebody
// holds for a process that is gone accepts, and never answers.
func heartbeat(nc net.Conn, limit time.Duration) error {
	var b [4]byte
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := nc.Write(b[:]); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return fmt.Errorf("no echo of the heartbeat: %w", err)
	}
	if b != [4]byte{} {
		return fmt.Errorf("the heartbeat came back as % x", b)
	}
	return nc.SetDeadline(time.Time{})
}

var errEOF = errors.New("the proxy closed the connection")

// readFrame reads one frame, its length included; it is valid until the next. The buffer grows with the bytes that
// came, not with the length that was announced.
func (cn *conn) readFrame(limit int) ([]byte, error) {
	if len(cn.buf) == 0 && cap(cn.base) <= keepBuffer {
		cn.buf = cn.base[:0]
	}
	for {
		if len(cn.buf) >= 4 {
			n := binary.BigEndian.Uint32(cn.buf)
			if n == 0 || uint64(n) > uint64(limit) {
				return nil, fmt.Errorf("reply: a frame of %d bytes, want 1 to %d", n, limit)
			}
			if len(cn.buf) >= 4+int(n) {
				frame := cn.buf[:4+n]
				cn.buf = cn.buf[4+n:]
				return frame, nil
			}
		}
		if cap(cn.buf)-len(cn.buf) < 512 {
			grown := make([]byte, len(cn.buf), max(2*cap(cn.buf), 4096))
			copy(grown, cn.buf)
			cn.buf, cn.base = grown, grown
		}
		k, err := cn.Read(cn.buf[len(cn.buf):cap(cn.buf)])
		cn.buf = cn.buf[:len(cn.buf)+k]
		if k == 0 && errors.Is(err, io.EOF) {
			return nil, errEOF
		}
		if k == 0 && err != nil {
			return nil, err
		}
	}
}
