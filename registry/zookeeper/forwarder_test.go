package zookeeper

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// forwarder stands between a client and an ensemble: a network that can fall silent, and one that loses watch events.
type forwarder struct {
	l        net.Listener
	target   func() string
	silent   atomic.Bool // bytes go nowhere; connections stay
	swallow  atomic.Bool // watch events are dropped
	deaf     atomic.Bool // requests to set watches again are answered with an error
	dropped  atomic.Int64
	accepted atomic.Int64
	mu       sync.Mutex // guards open
	open     []net.Conn
	all      sync.WaitGroup
}

func forward(t *testing.T, target func() string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{l: l, target: target}
	f.all.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		f.cut()
		f.all.Wait()
	})
	return f
}

func (f *forwarder) addr() string { return f.l.Addr().String() }

func (f *forwarder) accept() {
	for {
		in, err := f.l.Accept()
		if err != nil {
			return
		}
		f.accepted.Add(1)
		out, err := net.Dial("tcp", f.target())
		if err != nil {
			in.Close()
			continue
		}
		f.mu.Lock()
		f.open = append(f.open, in, out)
		f.mu.Unlock()
		f.all.Go(func() { f.pump(in, out, false) })
		f.all.Go(func() { f.pump(out, in, true) })
	}
}

// cut ends all connections.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.open {
		c.Close()
	}
	f.open = nil
}

// The packets of ZooKeeper's protocol: len(4) xid(4) …; requests: len(4) xid(4) op(4) …
const (
	xidEvent       = -1
	opSetWatches   = 101
	mostForwarded  = 8 << 20
	packetHeadSize = 12
)

func (f *forwarder) pump(from, to net.Conn, down bool) {
	defer from.Close()
	defer to.Close()
	first := true
	for {
		p, err := packet(from)
		if err != nil {
			return
		}
		greeting := first
		first = false
		if f.silent.Load() {
			continue
		}
		if !greeting && len(p) >= packetHeadSize {
			xid, op := int32(binary.BigEndian.Uint32(p[4:])), binary.BigEndian.Uint32(p[8:])
			if down && xid == xidEvent && f.swallow.Load() {
				f.dropped.Add(1)
				continue
			}
			if !down && op == opSetWatches && f.deaf.Load() {
				f.dropped.Add(1)
				continue // never answered: the library waits, and says nothing
			}
		}
		if _, err := to.Write(p); err != nil {
			return
		}
	}
}

func packet(r io.Reader) ([]byte, error) {
	p := make([]byte, 4)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(p)
	if n > mostForwarded {
		return nil, errors.New("too long")
	}
	p = append(p, make([]byte, n)...)
	_, err := io.ReadFull(r, p[4:])
	return p, err
}
