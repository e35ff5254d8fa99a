package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol/osp"
	codecs "github.com/bellhop-mesh/bellhop/protocol/thrift"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
)

// echo is a thrift.TProcessor that answers every call with its own argument, written back as field 0.
type echo struct {
	calls   atomic.Int64
	onCall  func(name string)
	oneways chan string
}

func (e *echo) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, typ, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	arg, err := readString(ctx, in)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if err := in.ReadMessageEnd(ctx); err != nil {
		return false, thrift.WrapTException(err)
	}
	e.calls.Add(1)
	if e.onCall != nil {
		e.onCall(name)
	}
	if typ == thrift.ONEWAY {
		e.oneways <- arg
		return true, nil
	}
	err = errors.Join(
		out.WriteMessageBegin(ctx, name, thrift.REPLY, seq), out.WriteStructBegin(ctx, "result"),
		out.WriteFieldBegin(ctx, "success", thrift.STRING, 0), out.WriteString(ctx, arg), out.WriteFieldEnd(ctx),
		out.WriteFieldStop(ctx), out.WriteStructEnd(ctx), out.WriteMessageEnd(ctx), out.Flush(ctx))
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, nil
}

func (e *echo) ProcessorMap() map[string]thrift.TProcessorFunction  { return nil }
func (e *echo) AddToProcessorMap(string, thrift.TProcessorFunction) {}

func readString(ctx context.Context, in thrift.TProtocol) (arg string, err error) {
	if _, err = in.ReadStructBegin(ctx); err != nil {
		return "", err
	}
	for {
		_, typ, _, err := in.ReadFieldBegin(ctx)
		if err != nil || typ == thrift.STOP {
			return arg, err
		}
		if arg, err = in.ReadString(ctx); err != nil {
			return "", err
		}
	}
}

// text is the argument struct {1: string} and the result struct {0: string}.
type text struct{ s string }

func (a *text) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, "args"), p.WriteFieldBegin(ctx, "s", thrift.STRING, 1), p.WriteString(ctx, a.s),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

func (a *text) Read(ctx context.Context, p thrift.TProtocol) (err error) {
	a.s, err = readString(ctx, p)
	return err
}

// serve runs a thrift server on loopback until the test ends and returns its address.
func serve(t *testing.T, p thrift.TProcessor, tf thrift.TTransportFactory, pf thrift.TProtocolFactory) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := thrift.NewTSimpleServer4(p, thrift.NewTServerSocketFromAddrTimeout(l.Addr(), 0), tf, pf)
	_ = l.Close()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.SetLogContext(context.Background())
	go func() { _ = s.AcceptLoop() }()
	t.Cleanup(func() { _ = s.Stop() })
	return l.Addr().String()
}

func framed() thrift.TTransportFactory {
	return thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil)
}

func binary() thrift.TProtocolFactory { return thrift.NewTBinaryProtocolFactoryConf(nil) }

// start runs a proxy with these services until the test ends and returns it and the address of a listener.
func start(t *testing.T, workers int, change func(*proxy.Config), services ...*registry.Service) (*proxy.Proxy, string) {
	t.Helper()
	p, addr, err := launch(workers, change, services...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p, addr
}

func launch(workers int, change func(*proxy.Config), services ...*registry.Service) (*proxy.Proxy, string, error) {
	snap := &registry.Snapshot{Version: 1, Services: map[string]*registry.Service{}}
	for _, s := range services {
		snap.Services[s.Name] = s
	}
	table, err := route.Compile(snap, nil, route.Options{Workers: workers, Defaults: cluster.Defaults{Timeout: 2 * time.Second, MaxConns: 256, MaxPending: 1024, Depth: 8}})
	if err != nil {
		return nil, "", err
	}
	cfg := proxy.Config{
		Workers: workers, Codecs: append(codecs.Codecs(), osp.Codecs()...), Limits: proxy.DefaultLimits(), Timeouts: proxy.DefaultTimeouts(),
		Identify: func(c net.Conn) (proxy.Identity, error) { return proxy.Identity{Source: "test"}, nil },
	}
	if change != nil {
		change(&cfg)
	}
	p, err := proxy.New(cfg, table)
	if err != nil {
		return nil, "", err
	}
	if err := p.Start(); err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	return p, l.Addr().String(), p.Listen(proxy.ListenerConfig{Name: "test", Listener: l})
}

// dial connects a client whose calls name the service as "Service:method".
func dial(t *testing.T, addr, service string, tf thrift.TTransportFactory, pf thrift.TProtocolFactory) *thrift.TStandardClient {
	t.Helper()
	tr, err := tf.GetTransport(thrift.NewTSocketConf(addr, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return thrift.NewTStandardClient(pf.GetProtocol(tr), thrift.NewTMultiplexedProtocol(pf.GetProtocol(tr), service))
}

func TestFramedBinaryCall(t *testing.T) {
	e := &echo{}
	_, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}}})
	c := dial(t, addr, "Echo", framed(), binary())
	for i := range 100 {
		var r text
		want := fmt.Sprintf("hello %d", i)
		if _, err := c.Call(context.Background(), "say", &text{want}, &r); err != nil {
			t.Fatal(err)
		}
		if r.s != want {
			t.Fatalf("got %q, want %q", r.s, want)
		}
	}
	if n := e.calls.Load(); n != 100 {
		t.Fatalf("the server saw %d calls, want 100", n)
	}
}

func TestUnknownService(t *testing.T) {
	_, addr := start(t, 1, nil)
	var r text
	_, err := dial(t, addr, "Nobody", framed(), binary()).Call(context.Background(), "say", &text{"x"}, &r)
	var ae thrift.TApplicationException
	if !errors.As(err, &ae) || ae.TypeId() != thrift.UNKNOWN_METHOD {
		t.Fatalf("got %v, want UNKNOWN_METHOD", err)
	}
}
