package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// ledger is a Thrift server that writes down the id of every call that it executes, before it answers. Its methods, get
// and put, take {1: string id} and return it.
type ledger struct {
	lag    time.Duration
	listen net.Listener

	mu       sync.Mutex
	executed map[string]int // by id
}

func newLedger(lag time.Duration) (*ledger, error) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &ledger{lag: lag, listen: listen, executed: map[string]int{}}
	go l.accept()
	return l, nil
}

// accept serves each connection until it breaks, which a killed proxy's connections do.
func (l *ledger) accept() {
	for {
		c, err := l.listen.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			framed := thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(c, nil), nil)
			p := thrift.NewTBinaryProtocolConf(framed, nil)
			for l.serve(context.Background(), p) == nil {
			}
		}()
	}
}

func (l *ledger) addr() string { return l.listen.Addr().String() }

func (l *ledger) stop() { _ = l.listen.Close() }

// times returns how often a call was executed.
func (l *ledger) times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.executed[id]
}

// serve executes one call.
func (l *ledger) serve(ctx context.Context, p thrift.TProtocol) error {
	name, _, seq, err := p.ReadMessageBegin(ctx)
	if err != nil {
		return err
	}
	var id text
	if err := errors.Join(id.Read(ctx, p), p.ReadMessageEnd(ctx)); err != nil {
		return err
	}
	l.mu.Lock()
	l.executed[id.s]++
	l.mu.Unlock()
	time.Sleep(l.lag)
	return errors.Join(p.WriteMessageBegin(ctx, name, thrift.REPLY, seq), id.write(ctx, p, 0), p.WriteMessageEnd(ctx), p.Flush(ctx))
}

// text is {1: string} as arguments and {0: string} as a result.
type text struct{ s string }

// Write implements thrift.TStruct for arguments.
func (t *text) Write(ctx context.Context, p thrift.TProtocol) error { return t.write(ctx, p, 1) }

func (t *text) write(ctx context.Context, p thrift.TProtocol, id int16) error {
	return errors.Join(p.WriteStructBegin(ctx, "text"), p.WriteFieldBegin(ctx, "s", thrift.STRING, id), p.WriteString(ctx, t.s),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

// Read implements thrift.TStruct: the first string field is the text.
func (t *text) Read(ctx context.Context, p thrift.TProtocol) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, typ, _, err := p.ReadFieldBegin(ctx)
		if err != nil || typ == thrift.STOP {
			return err
		}
		if typ != thrift.STRING {
			return errors.New("a field that is not a string")
		}
		if t.s, err = p.ReadString(ctx); err != nil {
			return err
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}
