package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// CallOptions are a TClient's.
type CallOptions struct {
	// Framing of the calls; FramedBinary when 0.
	Framing Framing
	// Idempotent methods may be sent again when a call was written and its reply can't come.
	Idempotent []string
	// Timeout of a call whose context has no deadline; Options.Timeout when 0.
	Timeout time.Duration
	// Caller is the name this application goes by, sent with THeader only. A claim, not an identity.
	Caller string
}

// TClient is a thrift.TClient for one service, for the constructors of generated code. Unlike Thrift's own it is safe
// for concurrent use: each call in flight has a connection of the Client's pool to itself.
type TClient struct {
	c          *Client
	codec      *codec
	err        error // of the options: NewTClient can't return one and stay a one-liner
	idempotent map[string]bool
	timeout    time.Duration
	seq        atomic.Int32
}

var _ thrift.TClient = (*TClient)(nil)

// NewTClient makes a TClient that calls service through c. An empty service leaves the choice to the proxy's listener.
// Safe for concurrent use.
func NewTClient(c *Client, service string, o CallOptions) *TClient {
	t := &TClient{c: c, idempotent: map[string]bool{}, timeout: first(o.Timeout, c.opts.Timeout)}
	for _, m := range o.Idempotent {
		t.idempotent[m] = true
	}
	t.codec, t.err = newCodec(service, o, c.opts.MaxFrame)
	return t
}

// Call makes one call, and sends it again where the caller's rule allows. A nil result makes it a oneway call, which
// ends when it is written. ctx's deadline is the call's; the error's class is ClassOf(err).
func (t *TClient) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	meta, err := t.call(ctx, method, args, result)
	t.c.stats.ended(ClassOf(err))
	return meta, err
}

func (t *TClient) call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	if t.err != nil {
		return thrift.ResponseMeta{}, &Error{Class: ClassUnsent, Method: method, Cause: t.err}
	}
	seq := t.seq.Add(1) & 0x7fffffff
	frame, err := t.codec.encode(ctx, method, result == nil, seq, args)
	if err != nil {
		return thrift.ResponseMeta{}, &Error{Class: ClassUnsent, Method: method, Cause: fmt.Errorf("encode: %w", err)}
	}
	if err := t.c.turn(ctx); err != nil {
		return thrift.ResponseMeta{}, &Error{Class: ClassUnsent, Method: method, Cause: err}
	}
	defer t.c.turnOver()
	x := &exchange{t: t, method: method, frame: frame, seq: seq, result: result}
	return x.run(ctx)
}

// turn waits until one more call may be in flight.
func (c *Client) turn(ctx context.Context) error {
	select {
	case c.turns <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d calls are in flight already: %w", cap(c.turns), ctx.Err())
	}
}

func (c *Client) turnOver() { <-c.turns }

// exchange is one call on its way, over one connection or several.
type exchange struct {
	t      *TClient
	method string
	frame  []byte
	seq    int32
	result thrift.TStruct
	avoid  []endpoint // where it is not sent again
	resent bool
	full   bool // the local proxy, which lives, has no room for it
}

// outcome is how one attempt ended.
type outcome struct {
	class  Class
	meta   thrift.ResponseMeta
	err    error
	final  bool // not to be repeated, whatever the class
	reused bool // the connection may carry another call
}

// maxAttempts bounds a call whose connections keep breaking under it before a byte was written.
const maxAttempts = 16

func (x *exchange) run(ctx context.Context) (thrift.ResponseMeta, error) {
	c := x.t.c
	var last outcome
	for attempt := range maxAttempts {
		cn, err := c.acquire(ctx, x.avoid)
		if err != nil {
			// What is known of the call is what its last attempt told, if there was one.
			if attempt > 0 && last.class == ClassLost && x.avoid != nil && ctx.Err() == nil {
				x.avoid = nil // an idempotent call, and nobody else: whoever is there now will do
				continue
			}
			if attempt > 0 && last.class != ClassUnsent {
				return last.meta, last.err
			}
			return thrift.ResponseMeta{}, &Error{Class: ClassUnsent, Method: x.method, Cause: err}
		}
		last = x.try(ctx, cn)
		if last.reused {
			c.pool.put(cn)
		} else {
			cn.close()
			if cn.tier == tierLocal && last.class != ClassUnsent {
				c.rule.localDoubted()
			}
		}
		if !x.again(ctx, cn, last) {
			break
		}
	}
	return last.meta, last.err
}

// again decides whether the call is sent once more, and notes where not to.
func (x *exchange) again(ctx context.Context, cn *conn, o outcome) bool {
	s := &x.t.c.stats
	if o.final || ctx.Err() != nil {
		return false
	}
	switch o.class {
	case ClassUnsent:
		s.resentUnsent.Add(1)
		return true
	case ClassNotExecuted:
		if x.resent {
			return false
		}
		s.resentNotExecuted.Add(1)
		x.full = cn.tier == tierLocal
	case ClassLost:
		if x.resent || !x.t.idempotent[x.method] {
			return false
		}
		s.resentLost.Add(1)
	default:
		return false
	}
	x.resent = true
	x.avoid = append(x.avoid, cn.endpoint)
	return true
}

// try writes the call to one connection and reads its reply.
func (x *exchange) try(ctx context.Context, cn *conn) outcome {
	at, _ := ctx.Deadline()
	if err := cn.SetDeadline(at); err != nil {
		return x.failed(ctx, cn, ClassUnsent, err)
	}
	// A context that is cancelled before its deadline wakes the read.
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	frame := x.frame
	mark := x.t.codec.mark(ctx, x.t.c, cn, x.full)
	if mark != nil {
		frame = append(mark, frame...)
	}
	n, err := cn.Write(frame)
	if err != nil && n <= len(mark) {
		return x.failed(ctx, cn, ClassUnsent, err)
	}
	x.t.c.stats.written(cn.tier)
	if err != nil {
		return x.failed(ctx, cn, ClassLost, err)
	}
	if x.result == nil {
		return outcome{class: ClassOK, reused: stop()}
	}
	frame, err = cn.readFrame(x.t.c.opts.MaxFrame)
	if err != nil {
		return x.failed(ctx, cn, ClassLost, err)
	}
	r := x.t.codec.decode(ctx, frame, x.method, x.seq, x.result)
	if r.err != nil {
		o := x.failed(ctx, cn, ClassLost, fmt.Errorf("reply: %w", r.err))
		o.final = true // it ran, or something else is wrong that another attempt does not mend
		return o
	}
	if r.goHome {
		x.t.c.sentHome()
	}
	o := outcome{class: ClassOK, meta: thrift.ResponseMeta{Headers: r.headers}, reused: stop()}
	if r.app != nil {
		o.class, o.err = ClassApp, r.app
		if r.notExecuted {
			o.class = ClassNotExecuted
			if ClassOf(r.app) != ClassNotExecuted { // THeader said so beside the exception
				o.err = &Error{Class: ClassNotExecuted, Method: x.method, Target: cn.String(), Cause: r.app}
			}
		}
	}
	return o
}

// failed is an attempt that ended with an error of its connection. When time ran out after a byte was written, it is
// the deadline and not the connection that failed.
func (x *exchange) failed(ctx context.Context, cn *conn, class Class, err error) outcome {
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	if timeout && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // the socket's clock was a moment ahead
	} else if timeout {
		err = ctx.Err()
	}
	if class == ClassLost && timeout {
		class = ClassDeadline
	}
	return outcome{class: class, err: &Error{Class: class, Method: x.method, Target: cn.String(), Cause: err}, final: timeout}
}

func (cn *conn) String() string { return cn.tier.String() + " " + cn.endpoint.String() }

var _ net.Conn = (*conn)(nil)
