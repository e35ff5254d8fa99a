package zookeeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// guard is a connection to a server, between the network and the client library. The library waits for ten times its
// read timeout for the answer to a connect, believes its announced length, and falls over when a length is below 16; and
// it ends the connection, and with it the session's other requests, when a reply is too long. Here
//
//   - every read and write has a deadline, the first answer a short one;
//   - the first answer must look like one: whoever speaks another protocol is named in an error;
//   - a reply beyond the bound is skipped, and its request, alone, gets the error code of a reply that could not be unpacked.
//
// The library reads from one goroutine. A packet:
//
//	len(4) | xid(4) zxid(8) err(4) | body        xid −1: a watch event, −2: a ping's answer
type guard struct {
	net.Conn
	max  int           // bytes of one packet
	wait time.Duration // the longest silence
	big  *atomic.Uint64
	mute *atomic.Bool // no request leaves any more

	greeted atomic.Bool // read by the goroutine that writes, too
	pending []byte      // to be read before anything else
	pass    int         // bytes of the present packet that are still to come
	packet  [20]byte
}

const (
	maxGreeting = 4096
	headerBytes = 16
	tooLong     = -5 // ZMARSHALLINGERROR: servers send it for requests only
)

// Read gives the library what it should see.
func (g *guard) Read(p []byte) (int, error) {
	if len(g.pending) == 0 && g.pass == 0 {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	if len(g.pending) > 0 {
		n := copy(p, g.pending)
		g.pending = g.pending[n:]
		return n, nil
	}
	n, err := g.Conn.Read(p[:min(len(p), g.pass)])
	g.pass -= n
	return n, err
}

// begin reads the head of the next packet.
func (g *guard) begin() error {
	head := g.packet[:4]
	if _, err := io.ReadFull(g.Conn, head); err != nil {
		if errors.Is(err, io.EOF) && !g.greeted.Load() {
			return fmt.Errorf("%s ends connections without an answer: it does not serve now, or the port is one for TLS, or not ZooKeeper's", g.RemoteAddr())
		}
		return err
	}
	n := int(binary.BigEndian.Uint32(head))
	switch {
	case !g.greeted.Load() && (n < headerBytes || n > maxGreeting):
		return fmt.Errorf("%s is no ZooKeeper server: its first bytes are %q", g.RemoteAddr(), head)
	case n < headerBytes:
		return fmt.Errorf("%s sent a packet of %d bytes; the least is %d", g.RemoteAddr(), n, headerBytes)
	case g.greeted.Load() && n > g.max:
		return g.skip(n)
	}
	g.greeted.Store(true)
	g.pending, g.pass = head, n
	return nil
}

// skip reads over a packet that is too long. Its header goes on, with an error instead of the body.
func (g *guard) skip(n int) error {
	if _, err := io.ReadFull(g.Conn, g.packet[4:]); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, g.Conn, int64(n-headerBytes)); err != nil {
		return err
	}
	g.big.Add(1)
	code := int32(tooLong)
	binary.BigEndian.PutUint32(g.packet[:4], headerBytes)
	binary.BigEndian.PutUint32(g.packet[16:], uint32(code))
	g.pending = g.packet[:]
	return nil
}

// Write refuses when the session was given up: it shall expire, not be closed.
func (g *guard) Write(p []byte) (int, error) {
	if g.mute.Load() {
		return 0, errGivenUp
	}
	return g.Conn.Write(p)
}

// SetReadDeadline never lets a silent server hold the connection up for longer than wait.
func (g *guard) SetReadDeadline(t time.Time) error { return g.Conn.SetReadDeadline(g.clamp(t)) }

// SetWriteDeadline is like SetReadDeadline.
func (g *guard) SetWriteDeadline(t time.Time) error { return g.Conn.SetWriteDeadline(g.clamp(t)) }

func (g *guard) clamp(t time.Time) time.Time {
	wait := g.wait
	if !g.greeted.Load() {
		wait = min(wait, connectTimeout)
	}
	if last := time.Now().Add(wait); t.IsZero() || t.After(last) {
		return last
	}
	return t
}
