package proxy_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// broken answers every call with INTERNAL_ERROR while it is to.
type broken struct {
	echo
	is atomic.Bool
}

func (b *broken) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	if !b.is.Load() {
		return b.echo.Process(ctx, in, out)
	}
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if _, err := readString(ctx, in); err != nil {
		return false, thrift.WrapTException(err)
	}
	b.calls.Add(1)
	e := thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "broken")
	if err := out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq); err != nil {
		return false, thrift.WrapTException(err)
	}
	if err := e.Write(ctx, out); err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, thrift.WrapTException(out.Flush(ctx))
}

// TestEjectionOverWorkers: with two event loops, real servers and callers, an endpoint that fails every call and one that
// nobody listens at are found, by whichever loop sees it; then no loop sends a call there any more, until somebody closes
// the breakers by hand.
func TestEjectionOverWorkers(t *testing.T) {
	bad, good := &broken{}, &echo{}
	bad.is.Store(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	s := &registry.Service{Name: "Echo", Timeout: 20 * time.Second, Ejection: registry.Ejection{Base: time.Hour, Max: time.Hour}}
	failing := serve(t, bad, framed(), binary())
	for _, addr := range []string{failing, nobody, serve(t, good, framed(), binary()), serve(t, good, framed(), binary())} {
		s.Endpoints = append(s.Endpoints, registry.Endpoint{Addr: addr})
	}
	p, addr := start(t, 2, nil, s)
	callers := make([]*thrift.TStandardClient, 8)
	for i := range callers {
		callers[i] = dial(t, addr, "Echo", framed(), binary())
	}
	held := func() map[string]string {
		by := map[string]string{}
		for _, b := range p.Breakers() {
			by[b.Endpoint] = b.Reason
		}
		return by
	}
	all(callers, 10_000, func(c *thrift.TStandardClient) bool {
		var r text
		_, _ = c.Call(context.Background(), "say", &text{"x"}, &r) // some are to fail
		return held()[failing] != ""
	})
	if by := held(); by[failing] != "errors" || len(by) > 2 {
		t.Fatalf("held: %v", by)
	}
	before := bad.calls.Load()
	all(callers, 200, func(c *thrift.TStandardClient) bool {
		var r text
		if _, err := c.Call(context.Background(), "say", &text{"x"}, &r); err != nil {
			t.Error(err)
		}
		return false
	})
	if n := bad.calls.Load() - before; n != 0 {
		t.Errorf("the failing one had %d calls after its ejection", n)
	}
	bad.is.Store(false)
	if err := p.SetBreaker("Echo", failing, "close", time.Hour); err != nil {
		t.Fatal(err)
	}
	all(callers, 10_000, func(c *thrift.TStandardClient) bool {
		var r text
		_, _ = c.Call(context.Background(), "say", &text{"x"}, &r) // each of its connections is broken once more: it has begun to read
		return bad.calls.Load() > before
	})
	if bad.calls.Load() == before {
		t.Error("closed by hand, it gets no calls")
	}
	var st *proxy.Stats
	if st, err = p.Stats(t.Context()); err != nil || st.Labelled["ejections"]["errors"] == 0 {
		t.Errorf("%v: %v", err, st.Labelled["ejections"])
	}
}

// TestRecheck: an endpoint that nobody listens at is looked at again and again, and no call is spent on that; when somebody
// listens there again, calls go there again.
func TestRecheck(t *testing.T) {
	good := &echo{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	s := &registry.Service{
		Name: "Echo", Timeout: 20 * time.Second, Ejection: registry.Ejection{Base: 10 * time.Millisecond, Max: 20 * time.Millisecond},
		Endpoints: []registry.Endpoint{{Addr: nobody}, {Addr: serve(t, good, framed(), binary())}},
	}
	p, addr := start(t, 1, nil, s)
	c := []*thrift.TStandardClient{dial(t, addr, "Echo", framed(), binary())}
	state := func() (b proxy.BreakerStatus) {
		for _, b = range p.Breakers() {
			if b.Endpoint == nobody {
				return b
			}
		}
		return b
	}
	until := func(what string, done func() bool) {
		t.Helper()
		ok, mayFail := false, state().State == "" // a process that has just begun has no budget to send calls elsewhere
		all(c, 1_000_000, func(c *thrift.TStandardClient) bool {
			var r text
			if _, err := c.Call(context.Background(), "say", &text{"x"}, &r); err != nil && !mayFail {
				t.Error(err)
				return true
			}
			ok = done()
			return ok
		})
		if !ok {
			t.Fatalf("never: %s; %+v", what, state())
		}
	}
	connectErrors := func() uint64 {
		st, err := p.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Counters["connect_errors"]
	}
	until("ejected", func() bool { return state().Reason == "connect" })
	before := connectErrors()
	until("looked at again and again", func() bool { return state().Times >= 5 })
	if n := connectErrors() - before; n != 0 {
		t.Errorf("%d calls were spent on looking", n)
	}
	back, err := net.Listen("tcp", nobody)
	if err != nil {
		t.Skip("somebody else has the port now")
	}
	defer back.Close()
	taken := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := back.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			select {
			case taken <- struct{}{}:
			default:
			}
		}
	}()
	until("looked at when somebody listens", func() bool { return len(taken) > 0 })
}

// all has every caller call so often, or until one is done.
func all(callers []*thrift.TStandardClient, times int, call func(*thrift.TStandardClient) (done bool)) {
	var wg sync.WaitGroup
	for _, c := range callers {
		wg.Go(func() {
			for range times {
				if call(c) {
					return
				}
			}
		})
	}
	wg.Wait()
}
