package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

// TestManyCallers has callers with payloads from a byte to a megabyte share endpoints over two workers, in every mode.
// Each caller must get its own bytes back.
func TestManyCallers(t *testing.T) {
	for _, mode := range []string{"exclusive", "multiplexed", "per-call"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := &echo{}
			s := &registry.Service{Name: "Echo", Mode: mode, Timeout: 20 * time.Second, MaxConns: 12, Endpoints: []registry.Endpoint{
				{Addr: serve(t, e, framed(), binary())}, {Addr: serve(t, e, framed(), binary())},
			}}
			_, addr := start(t, 2, nil, s)
			var wg sync.WaitGroup
			for i := range 16 {
				c := dial(t, addr, "Echo", framed(), binary())
				wg.Go(func() { callMany(t, c, i, 60) })
			}
			wg.Wait()
		})
	}
}

func callMany(t *testing.T, c *thrift.TStandardClient, id, n int) {
	rnd := rand.New(rand.NewPCG(uint64(id), 1))
	for k := range n {
		size := 1 << rnd.IntN(14)
		if k%20 == 0 {
			size = 1 << 20
		}
		want := fmt.Sprintf("%d/%d/", id, k) + strings.Repeat("x", size)
		var r text
		if _, err := c.Call(context.Background(), "say", &text{want}, &r); err != nil {
			t.Errorf("caller %d, call %d of %d bytes: %v", id, k, size, err)
			return
		}
		if r.s != want {
			t.Errorf("caller %d got %.40q (%d bytes), want %.40q (%d bytes)", id, r.s, len(r.s), want, len(want))
			return
		}
	}
}

// TestOneConnectionForAll: a server that serves one connection at a time is shared by two workers: the one that has
// none gets its turn.
func TestOneConnectionForAll(t *testing.T) {
	e := &echo{}
	_, addr := start(t, 2, nil, &registry.Service{
		Name: "Echo", MaxConns: 1, Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}},
	})
	var wg sync.WaitGroup
	for i := range 6 {
		c := dial(t, addr, "Echo", framed(), binary())
		wg.Go(func() { callMany(t, c, i, 30) })
	}
	wg.Wait()
}

// TestFramings calls through every plain framing on both sides: re-framed, transcoded, stripped of the service's name.
func TestFramings(t *testing.T) {
	compact := thrift.NewTCompactProtocolFactoryConf(nil)
	kinds := []struct {
		name string
		tf   func() thrift.TTransportFactory
		pf   thrift.TProtocolFactory
	}{
		{"framed-binary", framed, binary()},
		{"framed-compact", framed, compact},
		{"binary", unframed, binary()},
		{"compact", unframed, compact},
		{"theader-binary", header(thrift.THeaderProtocolBinary), thrift.NewTHeaderProtocolFactoryConf(&thrift.TConfiguration{THeaderProtocolID: thrift.THeaderProtocolIDPtrMust(thrift.THeaderProtocolBinary)})},
		{"theader-compact", header(thrift.THeaderProtocolCompact), thrift.NewTHeaderProtocolFactoryConf(&thrift.TConfiguration{THeaderProtocolID: thrift.THeaderProtocolIDPtrMust(thrift.THeaderProtocolCompact)})},
	}
	var services []*registry.Service
	for _, k := range kinds {
		services = append(services, &registry.Service{
			Name: "Echo." + k.name, Framing: k.name, Timeout: 10 * time.Second,
			Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, k.tf(), k.pf)}},
		})
	}
	_, addr := start(t, 1, nil, services...)
	for _, from := range kinds {
		for _, to := range kinds {
			c := dial(t, addr, "Echo."+to.name, from.tf(), from.pf)
			for _, want := range []string{"", "short", strings.Repeat("long", 100_000)} {
				var r text
				if _, err := c.Call(context.Background(), "say", &text{want}, &r); err != nil {
					t.Errorf("%s -> %s (%d bytes): %v", from.name, to.name, len(want), err)
					break
				}
				if r.s != want {
					t.Errorf("%s -> %s: got %.40q, want %.40q", from.name, to.name, r.s, want)
				}
			}
		}
	}
}

func unframed() thrift.TTransportFactory { return thrift.NewTBufferedTransportFactory(4096) }

func header(id thrift.THeaderProtocolID) func() thrift.TTransportFactory {
	return func() thrift.TTransportFactory {
		return thrift.NewTHeaderTransportFactoryConf(nil, &thrift.TConfiguration{THeaderProtocolID: &id})
	}
}

// TestDrain: calls that were queued in the kernel or in flight when the drain begins are answered; then every
// connection is closed.
func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	e := &echo{onCall: func(name string) {
		if name == "wait" {
			close(entered)
			<-release
		}
	}}
	p, addr := start(t, 2, nil, &registry.Service{
		Name: "Echo", Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}},
	})
	busy := dial(t, addr, "Echo", framed(), binary())
	inFlight := make(chan error, 1)
	go func() {
		var r text
		_, err := busy.Call(context.Background(), "wait", &text{"x"}, &r)
		inFlight <- err
	}()
	<-entered
	queued := dial(t, addr, "Echo", framed(), binary())
	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() { drained <- p.Drain(ctx, 50*time.Millisecond) }()
	var r text
	if _, err := queued.Call(ctx, "say", &text{"queued"}, &r); err != nil || r.s != "queued" {
		t.Errorf("a caller that came before the listener closed: %q, %v", r.s, err)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained (%v) with a call in flight", err)
	default:
	}
	close(release)
	if err := <-inFlight; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("the listener still takes connections")
	}
}

// tier starts a remote proxy and returns its address.
func tier(t *testing.T, srv *remote.Server, services ...*registry.Service) (*proxy.Proxy, string) {
	return start(t, 1, func(c *proxy.Config) { c.Accept = srv }, services...)
}

// withRemotes gives a running proxy a table that lists remote proxies.
func withRemotes(t *testing.T, p *proxy.Proxy, addr string, services ...*registry.Service) {
	t.Helper()
	snap := &registry.Snapshot{Version: 2, Services: map[string]*registry.Service{}, Remotes: []registry.Remote{{Addr: addr}}}
	for _, s := range services {
		snap.Services[s.Name] = s
	}
	table, err := route.Compile(snap, p.Table(), route.Options{Workers: p.Workers(), Defaults: cluster.Defaults{Timeout: 5 * time.Second, MaxConns: 16, MaxPending: 64, Depth: 8}})
	if err != nil {
		t.Fatal(err)
	}
	p.SetTable(table)
}

// TestHandOff: a service that the local proxy has no endpoint for is called through the remote proxy; without the right
// token it is not.
func TestHandOff(t *testing.T) {
	for _, c := range []struct {
		name, token string
		ok          bool
	}{{"the shared token", "secret", true}, {"a wrong token", "guess", false}, {"no token", "", false}} {
		t.Run(c.name, func(t *testing.T) {
			e := &echo{}
			_, remoteAddr := tier(t, &remote.Server{Token: "secret", Grant: remote.Grant{Calls: 100, Bytes: 1 << 20, Valid: time.Minute}},
				&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}}})
			p, addr := start(t, 1, func(cfg *proxy.Config) {
				cfg.HandOff = &remote.Client{Host: "h1", Instance: "i1", Token: c.token}
			})
			withRemotes(t, p, remoteAddr, &registry.Service{Name: "Echo", Remote: true})
			client := dial(t, addr, "Echo", framed(), binary())
			for i := range 5 {
				var r text
				want := fmt.Sprint("over ", i)
				_, err := client.Call(context.Background(), "say", &text{want}, &r)
				if c.ok && (err != nil || r.s != want) {
					t.Fatalf("got %q, %v", r.s, err)
				}
				var ae thrift.TApplicationException
				if !c.ok && (!errors.As(err, &ae) || !strings.HasPrefix(ae.Error(), "not executed:")) {
					t.Fatalf("got %v, want a fault that says not executed", err)
				}
			}
			if n := e.calls.Load(); c.ok != (n == 5) {
				t.Fatalf("the server saw %d calls", n)
			}
		})
	}
}

// TestOverflow: past the bound of a source its calls go to the remote tier.
func TestOverflow(t *testing.T) {
	block := make(chan struct{})
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(block) }) })
	here := &echo{onCall: func(string) { <-block }}
	there := &echo{}
	_, remoteAddr := tier(t, &remote.Server{Token: "s", Grant: remote.Grant{Calls: 100}},
		&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, there, framed(), binary())}}})
	local := &registry.Service{Name: "Echo", Timeout: 10 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, here, framed(), binary())}}}
	p, addr := start(t, 1, func(cfg *proxy.Config) {
		cfg.HandOff = &remote.Client{Host: "h1", Token: "s"}
		cfg.Limits.SourceCalls = 2
	}, local)
	withRemotes(t, p, remoteAddr, local)
	var wg sync.WaitGroup
	for range 2 {
		c := dial(t, addr, "Echo", framed(), binary())
		wg.Go(func() {
			var r text
			if _, err := c.Call(context.Background(), "say", &text{"here"}, &r); err != nil {
				t.Errorf("a call within the bound: %v", err)
			}
		})
	}
	for here.calls.Load() < 2 {
		if err := p.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var r text
	if _, err := dial(t, addr, "Echo", framed(), binary()).Call(context.Background(), "say", &text{"over"}, &r); err != nil || r.s != "over" {
		t.Fatalf("a call over the bound: %q, %v", r.s, err)
	}
	if there.calls.Load() != 1 {
		t.Fatalf("the remote tier served %d calls, want 1", there.calls.Load())
	}
	once.Do(func() { close(block) })
	wg.Wait()
}

// TestUnixListener: a path is never found missing, keeps its mode, and is left in place by a close.
func TestUnixListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "call.sock")
	e := &echo{}
	p, _ := start(t, 1, nil, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}}})
	for range 2 { // the second takes the path over
		l, err := proxy.ListenUnix(path, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Listen(proxy.ListenerConfig{Name: "unix", Listener: l, Service: "Echo"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	tr := thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(c, nil), nil)
	var r text
	client := thrift.NewTStandardClient(binary().GetProtocol(tr), binary().GetProtocol(tr))
	if _, err := client.Call(context.Background(), "say", &text{"unix"}, &r); err != nil || r.s != "unix" {
		t.Fatalf("%q, %v", r.s, err)
	}
}

// TestManyUselessConnections: connections that send one byte hold nobody up and are closed after the detect timeout.
func TestManyUselessConnections(t *testing.T) {
	p, addr := start(t, 1, func(c *proxy.Config) { c.Timeouts.Detect = 300 * time.Millisecond },
		&registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}}})
	var conns []net.Conn
	for range 500 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the test is over
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	callMany(t, dial(t, addr, "Echo", framed(), binary()), 1, 20)
	for _, c := range conns {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want the end", err)
		}
	}
	s, err := p.Stats(t.Context())
	if err != nil || s.Labelled["caller_closed"]["detect_timeout"] != 500 {
		t.Fatalf("closed: %v, %v", s.Labelled["caller_closed"], err)
	}
}
