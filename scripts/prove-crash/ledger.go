package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
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
	var id prove.Text
	if err := errors.Join(id.Read(ctx, p), p.ReadMessageEnd(ctx)); err != nil {
		return err
	}
	l.mu.Lock()
	l.executed[id.S]++
	l.mu.Unlock()
	time.Sleep(l.lag)
	return errors.Join(p.WriteMessageBegin(ctx, name, thrift.REPLY, seq), id.Reply(ctx, p), p.WriteMessageEnd(ctx), p.Flush(ctx))
}
