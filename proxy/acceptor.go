package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// ListenerConfig is one place where callers come in.
type ListenerConfig struct {
	Name     string           // for logs and metrics
	Listener net.Listener     // *net.TCPListener or *net.UnixListener, fresh or inherited; owned by the proxy from now on
	Service  string           // calls that name no service go there (unmodified clients); empty: they must name one
	Framing  protocol.Framing // FramingUnknown: told by the first bytes
	Ordered  bool             // one call at a time for each connection
	TLS      *tls.Config      // nil: none
	PlainToo bool             // with TLS: callers that don't begin with a TLS handshake are served too, as not verified
}

type listener struct {
	ListenerConfig
	service []byte
	codec   protocol.Codec
	closed  atomic.Bool
}

// acceptStats counts what acceptors see. Atomic: they are not on a loop.
type acceptStats struct {
	refused, errors, enrolErrors, tlsErrors, quarantined atomic.Uint64
}

// Listen starts an acceptor. After Start only.
func (p *Proxy) Listen(lc ListenerConfig) error {
	l := &listener{ListenerConfig: lc, service: []byte(lc.Service)}
	if lc.Framing != protocol.FramingUnknown {
		if l.codec = p.codecs[lc.Framing]; l.codec == nil {
			return fmt.Errorf("listener %s: no codec for framing %s", lc.Name, lc.Framing)
		}
	}
	if u, ok := lc.Listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // a path that a successor has taken over must not vanish
	}
	p.mu.Lock()
	p.listeners = append(p.listeners, l)
	p.mu.Unlock()
	p.acceptors.Add(1)
	go func() {
		defer p.acceptors.Done()
		p.accept(l)
	}()
	return nil
}

// accept takes connections until the listener is closed. Out of descriptors it waits and goes on: the calls of those
// who are in are not touched.
func (p *Proxy) accept(l *listener) {
	const least, most = 5 * time.Millisecond, time.Second
	pause := least
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			pause = least
			p.admitConn(l, conn)
			continue
		case errors.Is(err, net.ErrClosed) || l.closed.Load():
			return
		}
		p.acceptLog.errors.Add(1)
		if p.sample.allow() {
			p.cfg.Log.Error("accept failed; trying again", "listener", l.Name, "error", err, "after", pause,
				"next", "if this is EMFILE, raise LimitNOFILE or lower limits.total_connections")
		}
		select {
		case <-time.After(pause):
		case <-p.life.Done():
			return
		}
		pause = min(2*pause, most)
	}
}

// admitConn identifies the caller, counts its connection and gives it to the worker with the least to do.
func (p *Proxy) admitConn(l *listener, conn net.Conn) {
	src, err := p.join(conn)
	if err != nil {
		p.refuse(l, conn, err)
		return
	}
	if l.TLS == nil {
		p.place(l, src, conn, false)
		return
	}
	p.pending.Go(func() { // a handshake waits for the peer: not in the acceptor
		joined, verified, err := p.terminate(l, conn)
		if err != nil {
			p.acceptLog.tlsErrors.Add(1)
			p.leave(src)
			p.refuse(l, conn, err)
			return
		}
		p.place(l, src, joined, verified)
	})
}

// terminate does the handshake of a connection that has to do one, and returns the end for the loop.
func (p *Proxy) terminate(l *listener, conn net.Conn) (loop net.Conn, verified bool, err error) {
	if l.PlainToo {
		if handshake, err := beginsTLS(p.life, conn, p.cfg.Timeouts.Detect); err != nil || !handshake {
			return conn, false, err
		}
	}
	return overTLSServer(p.life, conn, l.TLS, p.cfg.Timeouts.Detect)
}

// place enrols a source's connection.
func (p *Proxy) place(l *listener, src *source, conn net.Conn, verified bool) {
	w := p.leastLoaded()
	d := &downstream{l: l, src: src, verified: verified}
	d.w = w
	p.pending.Go(func() { // the loop may be busy: the next caller does not wait for it
		if err := w.enrol(conn, d, &d.opened); err != nil {
			p.leave(src)
			p.acceptLog.enrolErrors.Add(1)
		}
	})
}

func (p *Proxy) refuse(l *listener, conn net.Conn, err error) {
	p.acceptLog.refused.Add(1)
	if err != errQuarantined && p.sample.allow() { // that was logged once
		p.cfg.Log.Warn("connection refused", "listener", l.Name, "peer", conn.RemoteAddr(), "reason", err)
	}
	_ = conn.Close() // it was never served
}

// leastLoaded returns the worker with the fewest connections plus calls in flight, ties in turn.
func (p *Proxy) leastLoaded() *worker {
	at := int(p.turn.Add(1)) % len(p.workers)
	best := p.workers[at]
	for i := 1; i < len(p.workers); i++ {
		if w := p.workers[(at+i)%len(p.workers)]; w.load.Load() < best.load.Load() {
			best = w
		}
	}
	return best
}

// closeListeners accepts what the kernel has queued (closing a listener resets queued callers), then closes.
func (p *Proxy) closeListeners() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		if l.closed.Swap(true) {
			continue
		}
		for _, conn := range drainQueue(l.Listener) {
			p.admitConn(l, conn)
		}
		_ = l.Listener.Close() // nothing is left to lose
	}
	p.acceptors.Wait()
}

// drainQueue accepts without waiting until the kernel's queue is empty.
func drainQueue(l net.Listener) (conns []net.Conn) {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	_ = rc.Control(func(fd uintptr) { // closed already: nothing is queued
		for {
			nfd, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil {
				return
			}
			if conn, err := connOfFD(nfd, "accepted"); err == nil {
				conns = append(conns, conn)
			}
		}
	})
	return conns
}

// ListenUnix listens on a path: bound under another name first and renamed, so that callers never find the path gone.
// The mode is set before the path can be found.
func ListenUnix(path string, mode os.FileMode) (*net.UnixListener, error) {
	tmp := fmt.Sprintf("%s.%d.new", path, os.Getpid())
	_ = os.Remove(tmp) // left by a predecessor with our pid
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on unix socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, mode); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(tmp)
		return nil, fmt.Errorf("listen on unix socket %s: %w", path, err)
	}
	return l, nil
}
