package zkensemble

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Relay stands between clients and a server, packet by packet: a network that can lose watch events without a word, let
// nothing pass, or refuse. Safe for concurrent use.
type Relay struct {
	Swallow atomic.Bool // watch events are dropped
	Hole    atomic.Bool // nothing passes, and nobody is told of an end
	Refuse  atomic.Bool // new connections are ended at once; Cut ends the others

	target  func() string
	listen  net.Listener
	dropped atomic.Int64
	all     sync.WaitGroup
	mu      sync.Mutex // guards open
	open    map[net.Conn]struct{}
	closed  bool
}

// NewRelay listens at an address, like 127.0.0.1:0, and connects each client to the target as it is then.
func NewRelay(addr string, target func() string) (*Relay, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &Relay{listen: l, target: target, open: map[net.Conn]struct{}{}}
	r.all.Go(r.accept)
	return r, nil
}

// Addr is where clients connect to.
func (r *Relay) Addr() string { return r.listen.Addr().String() }

// Dropped counts packets that were dropped.
func (r *Relay) Dropped() int64 { return r.dropped.Load() }

// Cut ends all connections; new ones are taken.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close()
	}
}

// Close ends it.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	_ = r.listen.Close()
	r.Cut()
	r.all.Wait()
}

func (r *Relay) accept() {
	for {
		in, err := r.listen.Accept()
		if err != nil {
			return
		}
		if r.Refuse.Load() {
			_ = in.Close()
			continue
		}
		out, err := net.Dial("tcp", r.target())
		if err != nil {
			_ = in.Close()
			continue
		}
		if !r.keep(in, out) {
			continue
		}
		r.all.Go(func() { r.pump(in, out, false) })
		r.all.Go(func() { r.pump(out, in, true) })
	}
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.closed {
			_ = c.Close()
			continue
		}
		r.open[c] = struct{}{}
	}
	return !r.closed
}

func (r *Relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(r.open, c)
	}
}

// The packets of ZooKeeper's protocol: len(4) xid(4) …; the first of each direction is the greeting, which is made otherwise.
const (
	xidEvent      = 0xFFFFFFFF
	mostForwarded = 16 << 20
	packetHead    = 8
)

func (r *Relay) pump(from, to net.Conn, down bool) {
	defer func() {
		r.drop(from)
		if !r.Hole.Load() {
			r.drop(to)
		}
	}()
	for first := true; ; first = false {
		p, err := packet(from)
		if err != nil {
			return
		}
		if r.Hole.Load() || !first && down && len(p) >= packetHead && r.loses(p) {
			r.dropped.Add(1)
			continue
		}
		if _, err := to.Write(p); err != nil {
			return
		}
	}
}

// loses says whether a packet that comes down is a watch event that is to be lost.
func (r *Relay) loses(p []byte) bool {
	return binary.BigEndian.Uint32(p[4:]) == xidEvent && r.Swallow.Load()
}

func packet(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > mostForwarded {
		return nil, errors.New("no packet of ZooKeeper's is so long")
	}
	p := make([]byte, 4+n)
	copy(p, head[:])
	_, err := io.ReadFull(from, p[4:])
	return p, err
}
