package main

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// conn is one connection of a loop: what came in and is not yet a whole frame, and what is still to be written.
type conn struct {
	fd     int
	id     int32 // where its owner finds it
	codec  protocol.Codec
	scan   protocol.Scan
	in     []byte
	out    []byte
	sent   int    // of out
	events uint32 // what is watched
	dirty  bool   // in its loop's list of connections to write
}

// readSize is how much one read takes; the loops share one such buffer for all connections.
const readSize = 64 << 10

// fill reads what is there into buf, or behind a frame that came in part. data is what there is to split; it is valid
// until the next fill of any connection. io.EOF: the peer closed.
func (c *conn) fill(buf []byte) (data []byte, err error) {
	n, err := recv(c.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil, nil
	case err != nil:
		return nil, err
	case n == 0:
		return nil, io.EOF
	case len(c.in) == 0:
		return buf[:n], nil
	}
	c.in = append(c.in, buf[:n]...)
	return c.in, nil
}

// keep remembers the bytes of data that were not used; data is what fill returned.
func (c *conn) keep(data []byte) { c.in = append(c.in[:0], data...) }

// flush writes what it can and watches for space when there is more.
func (c *conn) flush(p *poller) error {
	c.dirty = false
	for c.sent < len(c.out) {
		n, err := send(c.fd, c.out[c.sent:])
		if errors.Is(err, unix.EAGAIN) {
			return c.listen(p, c.events|unix.EPOLLOUT)
		}
		if err != nil {
			return err
		}
		c.sent += n
	}
	c.out, c.sent = c.out[:0], 0
	return c.listen(p, c.events&^unix.EPOLLOUT)
}

// listen changes what is watched.
func (c *conn) listen(p *poller, events uint32) error {
	if c.events == events {
		return nil
	}
	c.events = events
	return p.watch(c.fd, c.id, events)
}
