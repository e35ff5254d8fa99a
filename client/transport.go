package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// Transport is a thrift.TTransport to whichever proxy the caller's rule names, for code that brings its own framing
// and protocol: wrap it in a TFramedTransport, a TBufferedTransport or a THeaderTransport, and name the service with a
// TMultiplexedProtocol.
//
// Between two messages it may change its connection: at Flush it takes another when the proxy it used is gone or
// closing, and sends the message elsewhere when none of it was written. It can't send a call again after that (it does
// not know methods): TClient can. As with every TTransport one goroutine uses it at a time, and one call is in flight.
type Transport struct {
	c    *Client
	out  []byte // the message that is being written
	cn   *conn
	in   *bufio.Reader
	last error // how the reply ended that is not there any more
	open bool
}

var _ thrift.TTransport = (*Transport)(nil)

// NewTransport makes a transport that is not open yet. Open connects nothing: the first Flush does.
func (c *Client) NewTransport() *Transport { return &Transport{c: c} }

// Open makes it usable.
func (t *Transport) Open() error {
	t.open = true
	return nil
}

// IsOpen reports whether it was opened and not closed since.
func (t *Transport) IsOpen() bool { return t.open }

// Close gives the connection up; what was written and not flushed is dropped.
func (t *Transport) Close() error {
	t.drop()
	t.out, t.last, t.open = nil, nil, false
	return nil
}

func (t *Transport) drop() {
	if t.cn != nil {
		t.cn.close()
		t.cn, t.in = nil, nil
		t.c.turnOver()
	}
}

// Write keeps p for Flush.
func (t *Transport) Write(p []byte) (int, error) {
	if !t.open {
		return 0, &Error{Class: ClassUnsent, Cause: errors.New("the transport is not open")}
	}
	if len(t.out)+len(p) > t.c.opts.MaxFrame+4 {
		t.out = nil
		return 0, &Error{Class: ClassUnsent, Cause: fmt.Errorf("a message of more than %d bytes", t.c.opts.MaxFrame)}
	}
	t.out = append(t.out, p...)
	return len(p), nil
}

// Flush sends the message. Its context's deadline, or Options.Timeout, holds until the reply is read. The end of the
// context before its deadline is noticed here, not while the reply is awaited: Read knows no context.
func (t *Transport) Flush(ctx context.Context) error {
	if len(t.out) == 0 {
		return nil
	}
	msg := t.out
	t.out, t.last = t.out[:0], nil
	at, ok := ctx.Deadline()
	if !ok {
		at = time.Now().Add(t.c.opts.Timeout)
	}
	ctx, cancel := context.WithDeadline(ctx, at)
	defer cancel()
	for range maxAttempts {
		if err := t.connect(ctx); err != nil {
			return t.ended(&Error{Class: ClassUnsent, Cause: err})
		}
		n, err := 0, t.cn.SetDeadline(at)
		if err == nil {
			n, err = t.cn.Write(msg)
		}
		if err == nil {
			t.c.stats.written(t.cn.tier)
			return nil
		}
		e := &Error{Class: ClassUnsent, Target: t.cn.String(), Cause: err}
		if n > 0 {
			t.c.stats.written(t.cn.tier)
			e.Class = ClassLost
		}
		t.fail()
		if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			return t.ended(e)
		}
		t.c.stats.resentUnsent.Add(1)
	}
	return t.ended(&Error{Class: ClassUnsent, Cause: errors.New("every connection broke before the call was written")})
}

func (t *Transport) ended(e *Error) error {
	t.c.stats.ended(e.Class)
	return e
}

// connect keeps the connection when it may still be used, and takes another otherwise.
func (t *Transport) connect(ctx context.Context) error {
	if t.cn != nil {
		if t.in.Buffered() == 0 && t.cn.alive() && t.c.wanted(t.cn) {
			return nil
		}
		t.drop()
	}
	if err := t.c.turn(ctx); err != nil {
		return err
	}
	cn, err := t.c.acquire(ctx, nil)
	if err != nil {
		t.c.turnOver()
		return err
	}
	t.cn, t.in = cn, bufio.NewReader(cn)
	return nil
}

// wanted reports whether a call of now would still go where the connection goes.
func (c *Client) wanted(cn *conn) bool {
	v, _ := c.look()
	away := c.rule.look(c.now(), v)
	switch cn.tier {
	case tierLocal:
		return !away && cn.epoch == c.pool.now() && contains(v.local, cn.endpoint)
	case tierRemote:
		return away && contains(v.remote, cn.endpoint)
	default:
		return !v.known
	}
}

// fail gives up a connection that broke.
func (t *Transport) fail() {
	if t.cn.tier == tierLocal {
		t.c.rule.localDoubted()
	}
	t.drop()
}

// Read reads from the reply.
func (t *Transport) Read(p []byte) (int, error) {
	if t.cn == nil && t.last != nil {
		return 0, t.last // Thrift's protocols read again after a timeout, until their context agrees
	}
	if t.cn == nil {
		return 0, &Error{Class: ClassLost, Cause: errors.New("read without a call")}
	}
	n, err := t.in.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	e := &Error{Class: ClassLost, Target: t.cn.String(), Cause: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Class, e.Cause = ClassDeadline, context.DeadlineExceeded
	case errors.Is(err, io.EOF):
		e.Cause = errEOF
	}
	t.fail()
	t.last = t.ended(e)
	return 0, t.last
}

// RemainingBytes is unknown, as on every socket.
func (t *Transport) RemainingBytes() uint64 { return thrift.UnknownRemainingBytes }
